//! Archives for the servers that keep the truth of GOT-10k's and TrackingNet's test sets.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::dataset::DatasetKind;
use super::results::{SequenceResult, boxes_text, times_text};
use ettrack_files::{OutputError, PendingFile};

/// Whether a benchmark's server takes an archive of results.
pub fn has_server(kind: DatasetKind) -> bool {
    matches!(kind, DatasetKind::Got10k | DatasetKind::TrackingNet)
}

/// Packs results as the benchmark's server expects them.
///
/// GOT-10k: `NAME/NAME_001.txt` (boxes, 4 decimals) and `NAME/NAME_time.txt` (seconds). TrackingNet: `NAME.txt`
/// (boxes, 2 decimals). The same results give the same bytes.
pub fn write_archive(
    target: &Path,
    kind: DatasetKind,
    results: &[(&str, &SequenceResult)],
) -> Result<(), OutputError> {
    let failed = |source: std::io::Error| OutputError {
        path: target.to_owned(),
        source,
    };
    let pending = PendingFile::create(target)?;
    let mut zip = ZipWriter::new(File::create(pending.path()).map_err(failed)?);
    // The default time stamp is fixed (1980), so archives can be compared.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut add = |name: String, text: String| -> std::io::Result<()> {
        zip.start_file(name, options)?;
        zip.write_all(text.as_bytes())
    };
    for (name, result) in results {
        let boxes = |decimals| boxes_text(&result.boxes, kind.first_pixel(), ",", decimals);
        if kind == DatasetKind::TrackingNet {
            add(format!("{name}.txt"), boxes(2)).map_err(failed)?;
        } else {
            add(format!("{name}/{name}_001.txt"), boxes(4)).map_err(failed)?;
            add(
                format!("{name}/{name}_time.txt"),
                times_text(&result.seconds),
            )
            .map_err(failed)?;
        }
    }
    zip.finish()
        .map_err(|error| failed(error.into()))?
        .sync_all()
        .map_err(failed)?;
    pending.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ettrack::geometry::BoundingBox;
    use ettrack::tracker::TrackState;
    use std::io::Read;

    #[test]
    fn the_servers_find_what_they_expect() {
        let result = SequenceResult {
            boxes: vec![BoundingBox::new(1.0, 2.0, 3.0, 4.56789)],
            confidence: vec![1.0],
            states: vec![TrackState::Tracking],
            seconds: vec![0.25],
        };
        let folder = tempfile::tempdir().unwrap();
        let read = |kind, names: &[(&str, &str)]| {
            let path = folder.path().join(format!("{kind}.zip"));
            write_archive(&path, kind, &[("Seq_1", &result)]).unwrap();
            let mut zip = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
            assert_eq!(zip.len(), names.len());
            for (name, expected) in names {
                let mut text = String::new();
                zip.by_name(name)
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
                assert_eq!(&text, expected);
            }
        };
        read(
            DatasetKind::Got10k,
            &[
                ("Seq_1/Seq_1_001.txt", "1.0000,2.0000,3.0000,4.5679\n"),
                ("Seq_1/Seq_1_time.txt", "0.25000000\n"),
            ],
        );
        read(
            DatasetKind::TrackingNet,
            &[("Seq_1.txt", "1.00,2.00,3.00,4.57\n")],
        );
    }
}
