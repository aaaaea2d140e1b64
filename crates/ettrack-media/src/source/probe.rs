//! Looks into a video file with `ffprobe` and chooses the stream that a player would show.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Result of probing a file.
#[derive(Debug, PartialEq)]
pub(super) enum Probe {
    /// `ffprobe` is missing or cannot read the file.
    Unknown,
    /// The file has no video; the text says what it has instead.
    NoVideo(String),
    /// The stream to read.
    Video(Stream),
}

/// A video stream.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stream {
    /// Index of the stream in the file.
    pub index: u64,
    /// Description of the stream for messages.
    pub description: String,
    /// Number of video streams in the file, without attached pictures and thumbnails.
    pub of: usize,
    /// Number of frames, if the file's header has it.
    pub frames: Option<u64>,
    /// Frames per second, if the file's header has them.
    pub rate: Option<f64>,
}

/// Probes a file with `ffprobe`. `url` must not be a pipe, because bytes read from a pipe are lost.
pub(super) fn probe(url: &OsStr) -> Probe {
    const ENTRIES: &str = "stream=index,codec_type,codec_name,width,height,nb_frames,avg_frame_rate:\
                           stream_disposition=default,attached_pic,timed_thumbnails,still_image";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_entries", ENTRIES])
        .arg(url)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Probe::Unknown;
    };
    match serde_json::from_slice(&output.stdout) {
        Ok(answer) => choose(&answer),
        Err(_) => Probe::Unknown,
    }
}

/// Chooses the stream that a player shows. Attached pictures and thumbnails are left out. A default stream comes before others,
/// then a stream of several frames before one of a single frame, then a larger one before smaller ones, then the first one.
fn choose(answer: &Value) -> Probe {
    let streams = match answer["streams"].as_array() {
        Some(streams) if !streams.is_empty() => streams,
        _ => return Probe::Unknown,
    };
    let is = |stream: &Value, mark: &str| stream["disposition"][mark].as_u64() == Some(1);
    let is_still = |stream: &Value| {
        ["attached_pic", "timed_thumbnails", "still_image"]
            .iter()
            .any(|mark| is(stream, mark))
    };
    let moving: Vec<&Value> = streams
        .iter()
        .filter(|stream| stream["codec_type"] == "video" && !is_still(stream))
        .collect();
    let area = |stream: &Value| {
        let side = |name: &str| stream[name].as_u64().unwrap_or(0);
        side("width") * side("height")
    };
    // `max_by_key` takes the last of several equal streams.
    let chosen = moving.iter().rev().max_by_key(|stream| {
        let several = count(&stream["nb_frames"]) != Some(1);
        (is(stream, "default"), several, area(stream))
    });
    let Some(stream) = chosen else {
        let kinds: Vec<String> = streams.iter().map(describe).collect();
        return Probe::NoVideo(kinds.join(", "));
    };
    Probe::Video(Stream {
        index: stream["index"].as_u64().unwrap_or(0),
        description: describe(stream),
        of: moving.len(),
        frames: count(&stream["nb_frames"]),
        rate: stream["avg_frame_rate"].as_str().and_then(ratio),
    })
}

fn describe(stream: &Value) -> String {
    let text = |name: &str| stream[name].as_str().unwrap_or("unknown").to_owned();
    let mut words = format!("{} ({}", text("codec_type"), text("codec_name"));
    if let (Some(width), Some(height)) = (stream["width"].as_u64(), stream["height"].as_u64()) {
        words.push_str(&format!(", {width}x{height}"));
    }
    if stream["disposition"]["attached_pic"].as_u64() == Some(1) {
        words.push_str(", attached picture");
    }
    words + ")"
}

fn count(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

fn ratio(text: &str) -> Option<f64> {
    let (numerator, denominator) = text.split_once('/')?;
    let rate = numerator.parse::<f64>().ok()? / denominator.parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn video(index: u64, width: u64, marks: &[&str]) -> Value {
        let mut disposition = json!({"default": 0, "attached_pic": 0});
        for mark in marks {
            disposition[*mark] = json!(1);
        }
        json!({"index": index, "codec_type": "video", "codec_name": "h264", "width": width, "height": 100,
               "avg_frame_rate": "30000/1001", "nb_frames": "7", "disposition": disposition})
    }

    fn chosen(streams: Value) -> u64 {
        match choose(&json!({ "streams": streams })) {
            Probe::Video(stream) => stream.index,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn attached_pictures_and_data_are_passed_over() {
        let data = json!({"index": 0, "codec_type": "data"});
        let cover = video(1, 9000, &["attached_pic", "default"]);
        let streams = json!([data, cover, video(2, 100, &[])]);
        assert_eq!(chosen(streams), 2);
        let only_cover = json!({"streams": [video(0, 9, &["attached_pic"])]});
        let Probe::NoVideo(kinds) = choose(&only_cover) else {
            panic!("an attached picture is no video");
        };
        assert!(kinds.contains("h264, 9x100, attached picture"), "{kinds}");
    }

    #[test]
    fn of_several_videos_the_default_then_the_largest_then_the_first_is_taken() {
        let default = json!([video(0, 900, &[]), video(1, 100, &["default"])]);
        assert_eq!(chosen(default), 1);
        let large = json!([video(0, 100, &[]), video(1, 900, &[])]);
        assert_eq!(chosen(large), 1);
        let equal = json!([video(0, 100, &[]), video(1, 100, &[])]);
        assert_eq!(chosen(equal), 0);
        let Probe::Video(stream) = choose(&json!({"streams": [video(3, 100, &[])]})) else {
            panic!("there is a video");
        };
        assert_eq!((stream.of, stream.frames), (1, Some(7)));
        assert!((stream.rate.unwrap() - 29.97).abs() < 0.01);
    }

    #[test]
    fn without_streams_nothing_is_known() {
        assert_eq!(choose(&json!({})), Probe::Unknown);
        assert_eq!(choose(&json!({"streams": []})), Probe::Unknown);
    }
}
