//! Numbers that tell a score map with the target from one without it.
//!
//! A tracker's raw score stays high after the target has left, because some cell always resembles it most. The
//! shape of the map tells more: a visible target gives one compact peak whose cells agree on one box.

/// What the network's output says for and against the chosen place being the target.
///
/// All numbers together cost one pass over the score map and over a thousand pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    /// Score of the chosen cell, 0..=1.
    pub score: f32,
    /// Highest score outside the neighbourhood of the chosen cell (the target's own extent), 0..=1.
    pub second: f32,
    /// How many cells share the scores' sum, as a share of the map: near 0 for one sharp peak, 1 for a flat map.
    pub spread: f32,
    /// Mean overlap (IoU) of the neighbouring cells' boxes with that of the chosen cell, 0..=1, weighted by score.
    pub agreement: f32,
    /// ln of the change of size and aspect against the tracked size; 0 for none.
    pub change: f32,
    /// Distance from the previous centre in units of the target's mean side.
    pub displacement: f32,
    /// Similarity of the colours in the box and of those of the target in the first frame, 0..=1.
    pub appearance: f32,
}

/// Corners in search pixels: left, top, right, bottom.
pub type Corners = [f64; 4];

impl Evidence {
    /// Judges the peak at cell `best` of a `side` x `side` score map.
    ///
    /// `box_at` gives a cell's box in search pixels; `extent` is the target's size in cells.
    pub fn of_peak(
        scores: &[f32],
        side: usize,
        best: usize,
        extent: (f64, f64),
        box_at: impl Fn(usize) -> Corners,
    ) -> Self {
        let (row, column) = (best / side, best % side);
        // At least two cells: the slopes of a peak belong to it.
        let reach = |cells: f64| (0.5 * cells).ceil().clamp(2.0, side as f64) as usize;
        let (reach_x, reach_y) = (reach(extent.0), reach(extent.1));
        let (mut second, mut sum, mut squares) = (0.0_f32, 0.0_f32, 0.0_f32);
        for (y, line) in scores.chunks_exact(side).enumerate() {
            let near_row = y.abs_diff(row) <= reach_y;
            for (x, &score) in line.iter().enumerate() {
                if !score.is_finite() {
                    continue;
                }
                sum += score;
                squares += score * score;
                if !(near_row && x.abs_diff(column) <= reach_x) {
                    second = second.max(score);
                }
            }
        }
        let spread = if squares > 0.0 {
            sum * sum / squares / scores.len() as f32
        } else {
            1.0
        };

        let chosen = box_at(best);
        let (mut agreement, mut weight) = (0.0_f64, 0.0_f64);
        for y in row.saturating_sub(1)..=(row + 1).min(side - 1) {
            for x in column.saturating_sub(1)..=(column + 1).min(side - 1) {
                let cell = y * side + x;
                let score = f64::from(scores[cell]);
                if cell != best && score.is_finite() {
                    agreement += score * overlap(chosen, box_at(cell));
                    weight += score;
                }
            }
        }
        Self {
            score: scores[best],
            second,
            spread: spread.clamp(0.0, 1.0),
            agreement: if weight > 0.0 {
                (agreement / weight) as f32
            } else {
                0.0
            },
            change: 0.0,
            displacement: 0.0,
            appearance: 0.0,
        }
    }
}

/// IoU of two boxes given by corners; 0 where either has no area or is not finite.
fn overlap(a: Corners, b: Corners) -> f64 {
    let area = |c: Corners| (c[2] - c[0]).max(0.0) * (c[3] - c[1]).max(0.0);
    let common = area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]);
    let union = area(a) + area(b) - common;
    if union > 0.0 && union.is_finite() {
        common / union
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::Evidence;

    fn boxes(side: usize) -> impl Fn(usize) -> [f64; 4] {
        // Every cell has the same box.
        move |_| [0.0, 0.0, side as f64, side as f64]
    }

    #[test]
    fn one_sharp_peak_gives_a_small_spread_and_full_agreement() {
        let mut scores = vec![0.01; 16 * 16];
        scores[8 * 16 + 8] = 0.9;
        let evidence = Evidence::of_peak(&scores, 16, 8 * 16 + 8, (3.0, 3.0), boxes(16));
        assert_eq!((evidence.score, evidence.second), (0.9, 0.01));
        assert!(
            evidence.spread < 0.1 && (evidence.agreement - 1.0).abs() < 1e-6,
            "{evidence:?}"
        );
    }

    #[test]
    fn a_similar_object_gives_a_second_peak_and_a_flat_map_a_large_spread() {
        let mut scores = vec![0.0; 16 * 16];
        scores[2 * 16 + 2] = 0.8;
        scores[2 * 16 + 12] = 0.7;
        let evidence = Evidence::of_peak(&scores, 16, 2 * 16 + 2, (3.0, 3.0), boxes(16));
        assert_eq!(evidence.second, 0.7);
        let flat = Evidence::of_peak(&[0.5; 256], 16, 0, (1.0, 1.0), boxes(16));
        assert!((flat.spread - 1.0).abs() < 1e-6);
    }

    #[test]
    fn nan_in_scores_and_boxes_gives_finite_evidence() {
        let mut scores = vec![f32::NAN; 16];
        scores[5] = 0.5;
        let evidence =
            Evidence::of_peak(&scores, 4, 5, (f64::NAN, f64::INFINITY), |_| [f64::NAN; 4]);
        assert_eq!(
            (evidence.score, evidence.second, evidence.agreement),
            (0.5, 0.0, 0.0)
        );
        assert!(evidence.spread.is_finite());
    }
}
