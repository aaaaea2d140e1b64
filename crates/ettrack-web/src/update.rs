//! What is known of one answered frame.

use serde::{Serialize, Serializer};

/// Whether there is a target, and whether it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No target.
    #[default]
    Idle,
    /// The box holds the target.
    Tracking,
    /// The target is not seen; the box is where the search goes on.
    Lost,
}

impl State {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Tracking => "tracking",
            Self::Lost => "lost",
        }
    }
}

/// One answered frame.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Update {
    /// Number of the answer; grows by one with each. A frame is answered again when a target is chosen or given up in it.
    pub seq: u64,
    /// The frame's stamp, nanoseconds. As text, because JavaScript's numbers do not hold it.
    #[serde(serialize_with = "as_text")]
    pub stamp: i64,
    /// Position of the frame in its source, or of the answer where the source counts none.
    pub frame: u64,
    /// Width and height of the frame, pixels.
    pub size: [u32; 2],
    /// State of the target.
    pub state: State,
    /// The target's id; empty without one.
    pub id: String,
    /// x, y, width, height, pixels of the frame.
    #[serde(rename = "box")]
    pub bounding_box: Option<[f64; 4]>,
    /// How much the evidence supports the box, 0..=1.
    pub confidence: f32,
    /// Milliseconds of crop, network, decode.
    pub ms: [f32; 3],
    /// Frames that came so far.
    pub received: u64,
    /// Frames that were overtaken by newer ones before they were tracked.
    pub dropped: u64,
    /// Number of the template picture; another number, another picture. 0: none.
    pub template: u64,
}

fn as_text<S: Serializer>(stamp: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(stamp)
}

/// What the last look at the frame showed the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sight {
    /// x, y, side of the search region, pixels of the frame; it may reach out of it.
    pub window: [f64; 3],
    /// Cells along each side of the score map.
    pub side: usize,
    /// Centre of the first cell (x, y) and the step to the next one (x, y), pixels of the frame.
    pub cells: [f64; 4],
    /// Scores, row-major, 0 (none) to 255 (1.0).
    pub scores: Vec<u8>,
    /// The chosen cell.
    pub best: Option<usize>,
    /// The network's box at that cell, pixels of the frame.
    pub candidate: [f64; 4],
    /// The highest cells of the map, each higher than its neighbours: cell and score, 0..=1.
    pub peaks: Vec<(usize, f32)>,
}

/// The most peaks that are told.
const PEAKS: usize = 5;

impl Sight {
    /// From a map of `side` x `side` scores, 0..=1, whose cells share the window evenly unless [`Sight::with_cells`] says
    /// otherwise.
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

    /// With the centre of the first cell and the step to the next one, pixels of the frame.
    #[must_use]
    pub fn with_cells(mut self, first: (f64, f64), step: (f64, f64)) -> Self {
        self.cells = [first.0, first.1, step.0, step.1];
        self
    }
}

/// Cells above all their neighbours, highest first.
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
