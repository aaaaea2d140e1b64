//! Reads a small folder in the layout of each data set.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

use std::fs;
use std::path::Path;

use ettrack::geometry::BoundingBox;
use ettrack_eval::dataset::{
    self, DATASETS, Dataset, DatasetError, DatasetOptions, Evaluation, NfsRate, Sequence,
    SequenceEntry, Subset,
};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Makes empty files, which are listed but not decoded.
fn images(folder: &Path, digits: usize, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        write(&folder.join(format!("{number:0digits$}.jpg")), "");
    }
}

fn list(
    name: &str,
    root: &Path,
    options: DatasetOptions,
    names: &[String],
) -> Result<Vec<SequenceEntry>, DatasetError> {
    dataset::list(Dataset::find(name).unwrap(), root, options, names)
}

fn load(name: &str, root: &Path) -> Vec<Result<Sequence, DatasetError>> {
    load_with(name, root, DatasetOptions::default())
}

fn load_with(
    name: &str,
    root: &Path,
    options: DatasetOptions,
) -> Vec<Result<Sequence, DatasetError>> {
    list(name, root, options, &[])
        .unwrap()
        .iter()
        .map(|entry| entry.load())
        .collect()
}

fn names(sequences: &[Result<Sequence, DatasetError>]) -> Vec<&str> {
    sequences
        .iter()
        .map(|one| one.as_ref().unwrap().name.as_str())
        .collect()
}

fn bb(x: f64, y: f64, width: f64, height: f64) -> BoundingBox {
    BoundingBox::new(x, y, width, height)
}

#[test]
fn reads_otb_with_two_targets_parts_of_folders_and_an_empty_truth() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    images(&root.join("Jogging/img"), 4, 1..=2);
    write(
        &root.join("Jogging/groundtruth_rect.1.txt"),
        "11,21,3,4\n12,21,3,4\n",
    );
    write(
        &root.join("Jogging/groundtruth_rect.2.txt"),
        "31\t41\t3\t4\n32\t41\t3\t4\n",
    );
    images(&root.join("Human4/img"), 4, 1..=2);
    write(&root.join("Human4/groundtruth_rect.1.txt"), "");
    write(
        &root.join("Human4/groundtruth_rect.2.txt"),
        "1 1 3 4\n2 1 3 4\n",
    );
    images(&root.join("David/img"), 4, 298..=772);
    write(
        &root.join("David/groundtruth_rect.txt"),
        &"129,80,64,78\n".repeat(471),
    );
    images(&root.join("Tiger1/img"), 4, 1..=8);
    write(
        &root.join("Tiger1/groundtruth_rect.txt"),
        "1,1,5,5\n1,1,5,5\n1,1,5,5\n1,1,5,5\n1,1,5,5\n9,9,5,5\n8,8,5,5\n7,7,5,5\n",
    );
    // 9 comes before 10: the order of names is that of their numbers.
    images(&root.join("Board/img"), 5, 9..=11);
    write(
        &root.join("Board/groundtruth_rect.txt"),
        "1,1,5,5\n1,1,5,5\n1,1,5,5\n",
    );

    let sequences = load("otb100", root);
    assert_eq!(
        names(&sequences),
        [
            "Board",
            "David",
            "Human4-2",
            "Jogging-1",
            "Jogging-2",
            "Tiger1"
        ]
    );
    let by_name = |name: &str| {
        sequences
            .iter()
            .map(|one| one.as_ref().unwrap())
            .find(|one| one.name == name)
            .unwrap()
    };
    assert_eq!(by_name("Jogging-2").first_box, bb(30.0, 40.0, 3.0, 4.0));
    let david = by_name("David");
    assert_eq!(david.frames.len(), 471);
    assert!(david.frames[0].ends_with("0300.jpg"));
    let tiger = by_name("Tiger1");
    assert_eq!(
        (tiger.frames.len(), tiger.first_box),
        (3, bb(8.0, 8.0, 5.0, 5.0))
    );
    assert!(tiger.frames[0].ends_with("0006.jpg"));
    assert!(by_name("Board").frames[0].ends_with("00009.jpg"));
}

#[test]
fn reads_uav123_at_both_rates_and_parts_of_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    images(&root.join("data_seq/UAV123_10fps/bird1"), 6, 1..=300);
    write(
        &root.join("anno/UAV123_10fps/bird1_1.txt"),
        &"10,20,3,4\n".repeat(85),
    );
    images(&root.join("data_seq/UAV123_10fps/bike1"), 6, 1..=2);
    write(
        &root.join("anno/UAV123_10fps/bike1.txt"),
        "10,20,3,4\nNaN,NaN,NaN,NaN\n",
    );
    let ten = load("uav123_10fps", root);
    assert_eq!(names(&ten), ["bike1", "bird1_1"]);
    let bird = ten[1].as_ref().unwrap();
    assert_eq!(
        (bird.frames.len(), bird.first_box),
        (85, bb(9.0, 19.0, 3.0, 4.0))
    );
    let bike = ten[0].as_ref().unwrap();
    assert_eq!(bike.truth.as_ref().unwrap()[1], None);

    // The published archive has an outer folder; the other rate has other numbers.
    let outer = root.join("outer");
    images(&outer.join("UAV123/data_seq/UAV123/bird1"), 6, 770..=1480);
    write(
        &outer.join("UAV123/anno/UAV123/bird1_2.txt"),
        &"10,20,3,4\n".repeat(1477 - 775 + 1),
    );
    let thirty = load("uav123", &outer);
    let bird = thirty[0].as_ref().unwrap();
    assert!(bird.frames[0].ends_with("000775.jpg"));
    assert_eq!(bird.frames.len(), 703);
}

#[test]
fn reads_nfs_in_both_layouts_and_rates() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let row = |x: u32| format!("0 {x} 20 {} 60 {x} 0 0 0 \"ball\"\n", x + 30);
    let rows: String = (0..24).map(row).collect();
    for (rate, frames) in [("30", 3), ("240", 24)] {
        images(&root.join("ball").join(rate).join("ball"), 5, 1..=frames);
        write(&root.join("ball").join(rate).join("ball.txt"), &rows);
    }
    let slow = load("nfs", root);
    let slow = slow[0].as_ref().unwrap();
    assert_eq!(slow.frames.len(), 3);
    let truth = slow.truth.as_ref().unwrap();
    assert_eq!(truth[1], Some(bb(8.0, 20.0, 30.0, 40.0)));
    let options = DatasetOptions {
        nfs_rate: NfsRate::Fps240,
        ..DatasetOptions::default()
    };
    let fast = load_with("nfs", root, options);
    assert_eq!(fast[0].as_ref().unwrap().frames.len(), 24);

    let other = tempfile::tempdir().unwrap();
    let other = other.path();
    images(&other.join("sequences/ball"), 5, 1..=2);
    write(
        &other.join("anno/nfs_ball.txt"),
        "1\t2\t30\t40\n2\t2\t30\t40\n",
    );
    let sequences = load("nfs", other);
    assert_eq!(names(&sequences), ["ball"]);
    assert_eq!(
        sequences[0].as_ref().unwrap().first_box,
        bb(1.0, 2.0, 30.0, 40.0)
    );
}

#[test]
fn reads_lasot_with_its_splits_and_visibility() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for name in ["cat-1", "cat-2"] {
        let folder = root.join("cat").join(name);
        images(&folder.join("img"), 8, 1..=3);
        write(
            &folder.join("groundtruth.txt"),
            "11,21,5,6\n11,21,5,6\n0,0,0,0\n",
        );
        write(&folder.join("full_occlusion.txt"), "0,1,0\n");
        write(&folder.join("out_of_view.txt"), "0,0,1");
    }
    let sequences = load("lasot", root);
    assert_eq!(names(&sequences), ["cat-1"]);
    let cat = sequences[0].as_ref().unwrap();
    assert_eq!(cat.visible, Some(vec![true, false, false]));
    assert_eq!(cat.first_box, bb(10.0, 20.0, 5.0, 6.0));
    let all = DatasetOptions {
        subset: Subset::All,
        ..DatasetOptions::default()
    };
    assert_eq!(load_with("lasot", root, all).len(), 2);
    let named = list(
        "lasot",
        root,
        DatasetOptions::default(),
        &["cat-2".to_owned()],
    );
    assert_eq!(named.unwrap().len(), 1);
}

#[test]
fn reads_the_first_box_where_the_truth_is_not_published() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    images(&root.join("TEST/frames/abc_0"), 1, 0..=11);
    write(&root.join("TEST/anno/abc_0.txt"), "5,6,7,8\n");
    let sequences = load("trackingnet", root);
    let one = sequences[0].as_ref().unwrap();
    assert_eq!(
        (one.truth.is_none(), one.first_box),
        (true, bb(5.0, 6.0, 7.0, 8.0))
    );
    assert!(one.frames[2].ends_with("2.jpg") && one.frames[11].ends_with("11.jpg"));

    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&root.join("val/list.txt"), "GOT-10k_Val_000001\n");
    images(&root.join("val/GOT-10k_Val_000001"), 8, 1..=2);
    write(
        &root.join("val/GOT-10k_Val_000001/groundtruth.txt"),
        "1.5,2,3,4\n1.5,2,3,4\n",
    );
    write(&root.join("val/GOT-10k_Val_000001/cover.label"), "8\n0\n");
    write(&root.join("test/list.txt"), "GOT-10k_Test_000001\n");
    images(&root.join("test/GOT-10k_Test_000001"), 8, 1..=5);
    write(
        &root.join("test/GOT-10k_Test_000001/groundtruth.txt"),
        "1.5,2,3,4\n",
    );
    let val = load("got10k", root);
    let val = val[0].as_ref().unwrap();
    assert_eq!(val.visible, Some(vec![true, false]));
    assert_eq!(val.first_box, bb(1.5, 2.0, 3.0, 4.0));
    let test = DatasetOptions {
        subset: Subset::Test,
        ..DatasetOptions::default()
    };
    let sequences = load_with("got10k", root, test);
    assert!(sequences[0].as_ref().unwrap().truth.is_none());
    // The root may also be the subset's own folder.
    let sequences = load_with("got10k", &root.join("test"), test);
    assert_eq!(names(&sequences), ["GOT-10k_Test_000001"]);
}

#[test]
fn reads_vot_polygons_in_both_layouts() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&root.join("list.txt"), "new\nold\n");
    images(&root.join("new/color"), 8, 1..=2);
    write(
        &root.join("new/groundtruth.txt"),
        "10,20,30,40\n10,20,30,40\n",
    );
    images(&root.join("old"), 8, 1..=2);
    write(
        &root.join("old/groundtruth.txt"),
        "10,10,20,12,18,30,9,28\n10,10,20,12,18,30,9,28\n",
    );
    let sequences = load("vot", root);
    assert_eq!(names(&sequences), ["new", "old"]);
    assert_eq!(
        sequences[1].as_ref().unwrap().first_box,
        bb(9.0, 10.0, 11.0, 20.0)
    );
}

#[test]
fn reads_the_visibility_of_simulated_sequences() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    images(&root.join("img"), 4, 1..=3);
    write(
        &root.join("groundtruth_rect.txt"),
        "2,2,5,5\nNaN,NaN,NaN,NaN\n2,2,5,5\n",
    );
    write(&root.join("visibility.txt"), "1.0\n0.0\n0.25\n");
    let sequences = load("simulated", root);
    let one = sequences[0].as_ref().unwrap();
    assert_eq!(one.visible, Some(vec![true, false, true]));
    assert_eq!(one.first_box, bb(1.0, 1.0, 5.0, 5.0));
}

#[test]
fn reads_the_benchmarks_seen_from_drones() {
    let boxes = "11,21,5,6\n12,21,5,6\n";
    let target = |first_pixel: f64| bb(11.0 - first_pixel, 21.0 - first_pixel, 5.0, 6.0);
    for (name, truth, pictures, first_pixel) in [
        ("dtb70", "Car2/groundtruth_rect.txt", "Car2/img", 1.0),
        ("uavtrack112", "anno/Car2.txt", "data_seq/Car2", 1.0),
        ("uavtrack112_l", "anno_l/Car2.txt", "data_seq/Car2", 1.0),
        (
            "visdrone_sot",
            "annotations/Car2.txt",
            "sequences/Car2",
            0.0,
        ),
        // The split's own folder is found in the root.
        (
            "visdrone_sot",
            "test-dev/annotations/Car2.txt",
            "test-dev/sequences/Car2",
            0.0,
        ),
        (
            "uav20l",
            "anno/UAV20L/Car2.txt",
            "data_seq/UAV123/Car2",
            1.0,
        ),
        (
            "uav20l",
            "UAV123/anno/UAV20L/Car2.txt",
            "UAV123/data_seq/UAV123/Car2",
            1.0,
        ),
        ("tnl2k", "Car2/groundtruth.txt", "Car2/imgs", 0.0),
        ("avist", "anno/Car2.txt", "sequences/Car2", 0.0),
        ("lasot_ext", "atv/Car2/groundtruth.txt", "atv/Car2/img", 1.0),
    ] {
        let root = tempfile::tempdir().unwrap();
        images(&root.path().join(pictures), 5, 1..=2);
        write(&root.path().join(truth), boxes);
        let sequences = load(name, root.path());
        assert_eq!(names(&sequences), ["Car2"], "{name}");
        assert_eq!(
            sequences[0].as_ref().unwrap().first_box,
            target(first_pixel),
            "{name}"
        );
    }
}

#[test]
fn reads_where_the_target_of_avist_is_hidden() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    images(&root.join("sequences/storm"), 4, 1..=3);
    write(
        &root.join("anno/storm.txt"),
        "1 2 30 40\n1 2 30 40\n1 2 30 40\n",
    );
    write(
        &root.join("full_occlusion/storm_full_occlusion.txt"),
        "0,1,0",
    );
    write(&root.join("out_of_view/storm_out_of_view.txt"), "0,0,1");
    let sequences = load("avist", root);
    let storm = sequences[0].as_ref().unwrap();
    assert_eq!(storm.visible, Some(vec![true, false, false]));
}

#[test]
fn reads_vots_absences_masks_and_anchors() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&root.join("list.txt"), "\u{feff}gone\r\n");
    images(&root.join("gone/color"), 8, 1..=4);
    write(
        &root.join("gone/groundtruth.txt"),
        "m4,6,2,2,0,4\nnan,nan,nan,nan\n0\n5,6,7,8\n",
    );
    let sequences = load("vot_lt", root);
    let gone = sequences[0].as_ref().unwrap();
    let truth = gone.truth.as_ref().unwrap();
    assert_eq!(truth[0], Some(bb(4.0, 6.0, 2.0, 2.0)));
    assert_eq!((truth[1], truth[2]), (None, None));
    let runs = || {
        let entries = list("vot_lt", root, DatasetOptions::default(), &[]).unwrap();
        let runs = entries
            .into_iter()
            .flat_map(|entry| Evaluation::MultiStart.runs(entry));
        runs.collect::<Vec<_>>()
    };
    let error = runs()[0].load().unwrap_err().to_string();
    assert!(error.contains("anchor.value"), "{error}");
    write(&root.join("gone/anchor.value"), "1\n0\n0\n-1\n");
    let loaded: Vec<_> = runs().iter().map(|run| run.load().unwrap()).collect();
    assert_eq!(
        (loaded[0].name.as_str(), loaded[1].name.as_str()),
        ("gone@00000000", "gone@00000003")
    );
    let backward = &loaded[1];
    assert_eq!(
        (backward.first_box, backward.length),
        (bb(5.0, 6.0, 7.0, 8.0), 4)
    );
    assert!(
        backward.frames[0].ends_with("00000004.jpg")
            && backward.frames[3].ends_with("00000001.jpg")
    );
    assert_eq!(backward.truth.as_ref().unwrap()[3], truth[0]);
}

#[test]
fn explains_wrong_folders_and_broken_sequences() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for kind in DATASETS.iter().map(|dataset| dataset.name) {
        let error = list(kind, &root.join("nowhere"), DatasetOptions::default(), &[]).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
        let error = list(kind, root, DatasetOptions::default(), &[]).unwrap_err();
        assert!(error.to_string().contains("expected"), "{kind}: {error}");
    }
    images(&root.join("A/img"), 4, 1..=3);
    write(&root.join("A/groundtruth_rect.txt"), "1,1,5,5\n1,1,5,5\n");
    write(&root.join("B/groundtruth_rect.txt"), "1,1,5,5\n");
    images(&root.join("C/img"), 4, 1..=1);
    write(&root.join("C/groundtruth_rect.txt"), "NaN,NaN,NaN,NaN\n");
    let sequences = load("otb100", root);
    let message = |index: usize| sequences[index].as_ref().unwrap_err().to_string();
    assert!(
        message(0).contains("3 images") && message(0).contains("2 rows"),
        "{}",
        message(0)
    );
    assert!(message(1).contains("B/img"), "{}", message(1));
    assert!(
        message(2).contains("not a box to start with"),
        "{}",
        message(2)
    );
    let missing = list("otb100", root, DatasetOptions::default(), &["D".to_owned()]);
    let error = missing.unwrap_err().to_string();
    assert!(error.contains("D") && error.contains("A, B, C"), "{error}");
}
