//! Result archives for benchmarks whose truth is on a server.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::results::{SequenceResult, boxes_text, times_text};
use ettrack_files::{OutputError, PendingFile};

/// The archive that a benchmark's server takes. Boxes have commas and the benchmark's own pixel convention.
#[derive(Debug, Clone, Copy)]
pub struct ServerArchive {
    /// Path in the archive of a sequence's boxes, from the sequence's name.
    pub boxes: fn(&str) -> String,
    /// Decimals of the boxes.
    pub decimals: usize,
    /// Path in the archive of a sequence's seconds per frame, if the server takes them.
    pub times: Option<fn(&str) -> String>,
}

/// Writes results (sequence name and result) as the benchmark's server expects them. The same results give the same
/// bytes.
///
/// `first_pixel` is the benchmark's coordinate of the upper-left pixel, 0 or 1.
///
/// # Errors
/// [`OutputError`] if the file cannot be written.
pub fn write_archive(
    target: &Path,
    archive: &ServerArchive,
    first_pixel: f64,
    results: &[(&str, &SequenceResult)],
) -> Result<(), OutputError> {
    let failed = |source: std::io::Error| OutputError {
        path: target.to_owned(),
        source,
    };
    let pending = PendingFile::create(target)?;
    let mut zip = ZipWriter::new(File::create(pending.path()).map_err(failed)?);
    // The default time stamp is fixed (1980), so the same results give the same bytes.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut add = |name: String, text: String| -> std::io::Result<()> {
        zip.start_file(name, options)?;
        zip.write_all(text.as_bytes())
    };
    for (name, result) in results {
        let boxes = boxes_text(&result.boxes, first_pixel, ",", archive.decimals);
        add((archive.boxes)(name), boxes).map_err(failed)?;
        if let Some(times) = archive.times {
            add(times(name), times_text(&result.seconds)).map_err(failed)?;
        }
    }
    zip.finish().map_err(|error| failed(error.into()))?;
    pending.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use ettrack::geometry::BoundingBox;
    use ettrack::tracker::TrackState;
    use std::io::Read;

    #[test]
    fn archives_have_the_files_that_the_servers_expect() {
        let result = SequenceResult {
            boxes: vec![BoundingBox::new(1.0, 2.0, 3.0, 4.56789)],
            confidence: vec![1.0],
            states: vec![TrackState::Tracking],
            seconds: vec![0.25],
        };
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, names: &[(&str, &str)]| {
            let path = folder.path().join(format!("{name}.zip"));
            let dataset = Dataset::find(name).unwrap();
            let archive = dataset.archive.unwrap();
            write_archive(&path, &archive, dataset.first_pixel, &[("Seq_1", &result)]).unwrap();
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
            "got10k",
            &[
                ("Seq_1/Seq_1_001.txt", "1.0000,2.0000,3.0000,4.5679\n"),
                ("Seq_1/Seq_1_time.txt", "0.25000000\n"),
            ],
        );
        read("trackingnet", &[("Seq_1.txt", "1.00,2.00,3.00,4.57\n")]);
    }
}
