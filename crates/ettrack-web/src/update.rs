//! The tracker's answer for one frame.

use serde::{Serialize, Serializer};

/// State of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No target.
    #[default]
    Idle,
    /// The box holds the target.
    Tracking,
    /// The target is not seen. The search continues at the box.
    Lost,
}

impl State {
    /// Returns the state as one lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Tracking => "tracking",
            Self::Lost => "lost",
        }
    }
}

/// The answer for one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Update {
    /// Number of the answer. It grows by one with each answer. A frame is answered again if a target is chosen or given up in
    /// it.
    pub seq: u64,
    /// The frame's stamp, nanoseconds. It is sent as text because JavaScript's numbers cannot hold it.
    #[serde(serialize_with = "as_text")]
    pub stamp: i64,
    /// Position of the frame in its source. If the source does not count frames, the number of the answer.
    pub frame: u64,
    /// Width and height of the frame, pixels.
    pub size: [u32; 2],
    /// State of the target.
    pub state: State,
    /// The target's id. Empty without a target.
    pub id: String,
    /// x, y, width, height, pixels of the frame. (0, 0) is the upper-left corner of the upper-left pixel. `None` without a
    /// target.
    #[serde(rename = "box")]
    pub bounding_box: Option<[f64; 4]>,
    /// How much the evidence supports the box, 0..=1.
    pub confidence: f32,
    /// Times of crop, network and decode, milliseconds.
    pub ms: [f32; 3],
    /// Number of frames received so far.
    pub received: u64,
    /// Number of frames that newer ones replaced before they were tracked.
    pub dropped: u64,
    /// Number of the template picture. It changes with the picture. 0 without a picture.
    pub template: u64,
}

fn as_text<S: Serializer>(stamp: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(stamp)
}

/// Search region, score map and candidate of the last search in a frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sight {
    /// x, y and side of the search region, pixels of the frame. The region may extend beyond the frame.
    pub window: [f64; 3],
    /// Number of cells along each side of the score map.
    pub side: usize,
    /// Centre of the first cell (x, y) and the step to the next one (x, y), pixels of the frame.
    pub cells: [f64; 4],
    /// `side * side` scores, row by row. 0 stands for a score of 0, 255 for 1.
    pub scores: Vec<u8>,
    /// Index of the chosen cell in `scores`.
    pub best: Option<usize>,
    /// The network's box at that cell: x, y, width, height, pixels of the frame.
    pub candidate: [f64; 4],
    /// The highest local maxima of the map, highest first: index of the cell, and its score, 0..=1.
    pub peaks: Vec<(usize, f32)>,
}

/// Largest number of local maxima that are reported.
const PEAKS: usize = 5;

impl Sight {
    /// Makes the value from a map of `side` x `side` scores, 0..=1, row by row. The cells divide the window evenly unless
    /// [`Sight::with_cells`] sets other positions.
    pub fn new(
        window: [f64; 3],
        side: usize,
        scores: &[f32],
        best: Option<usize>,
        candidate: [f64; 4],
    ) -> Self {
        Self {
            window,
            side,
            cells: {
                let step = window[2] / side.max(1) as f64;
                [window[0] + 0.5 * step, window[1] + 0.5 * step, step, step]
            },
            scores: scores
                .iter()
                .map(|score| (score.clamp(0.0, 1.0) * 255.0).round() as u8)
                .collect(),
            best,
            candidate,
            peaks: peaks(side, scores),
        }
    }

    /// Sets the centre (x, y) of the first cell and the step (x, y) to the next one, pixels of the frame.
    #[must_use]
    pub fn with_cells(mut self, first: (f64, f64), step: (f64, f64)) -> Self {
        self.cells = [first.0, first.1, step.0, step.1];
        self
    }
}

/// Returns the cells whose scores are above 0.05 and above those of all neighbours, highest first. Empty if `scores` does not
/// have `side * side` elements.
fn peaks(side: usize, scores: &[f32]) -> Vec<(usize, f32)> {
    if side == 0 || scores.len() != side * side {
        return Vec::new();
    }
    let near = |at: usize| at.saturating_sub(1)..=(at + 1).min(side - 1);
    let mut found: Vec<_> = (0..scores.len())
        .filter(|&cell| {
            let (row, column) = (cell / side, cell % side);
            scores[cell] > 0.05
                && near(row).all(|r| {
                    near(column)
                        .all(|c| r * side + c == cell || scores[r * side + c] < scores[cell])
                })
        })
        .map(|cell| (cell, scores[cell]))
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(PEAKS);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_cells_above_all_their_neighbours() {
        let mut scores = vec![0.0; 25];
        scores[6] = 0.9;
        scores[7] = 0.8;
        scores[24] = 0.5;
        let sight = Sight::new([0.0, 0.0, 10.0], 5, &scores, Some(6), [0.0; 4]);
        assert_eq!(sight.peaks, [(6, 0.9), (24, 0.5)]);
        assert_eq!((sight.scores[6], sight.scores[0]), (230, 0));
        assert!(peaks(4, &scores).is_empty(), "a map of another size");
    }

    #[test]
    fn a_stamp_is_text_in_json() {
        let update = Update {
            stamp: i64::MAX,
            ..Update::default()
        };
        let json = serde_json::to_value(&update).unwrap();
        assert_eq!(json["stamp"], i64::MAX.to_string());
        assert_eq!(json["box"], serde_json::Value::Null);
    }
}
