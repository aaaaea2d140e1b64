//! A linear classifier of the target against its surroundings, on features that the network computes anyway.
//!
//! Each cell of the search region has one vector of features. The classifier is the ridge regression of a peak at the
//! target's place on these vectors: a correlation filter of one cell. It has one unknown per channel, so it is solved
//! exactly in a small part of the network's time.

/// Standard deviation of the wanted peak, in sides of the target.
const PEAK: f64 = 0.25;

/// Weight of the filter's squared length against the squared errors.
const RIDGE: f64 = 0.1;

/// Share of the first frame in the regression, however many frames come later.
const FIRST: f64 = 0.3;

/// Weight of a new frame in the mean of the later frames.
const RATE: f64 = 0.1;

/// Last number of every vector, so that responses need not be zero where all features have their mean.
const CONSTANT: f32 = 0.3;

/// Sums over cells: the products of a vector's numbers with each other, and with the wanted response.
#[derive(Debug)]
struct Sums {
    /// Rows of the lower triangle, in a square matrix.
    products: Vec<f64>,
    wanted: Vec<f64>,
}

impl Sums {
    fn new(length: usize) -> Self {
        Self {
            products: vec![0.0; length * length],
            wanted: vec![0.0; length],
        }
    }

    fn scale(&mut self, factor: f64) {
        for value in self.products.iter_mut().chain(&mut self.wanted) {
            *value *= factor;
        }
    }

    fn add(&mut self, vector: &[f32], wanted: f64, weight: f64) {
        let rows = self.products.chunks_exact_mut(vector.len());
        for (i, (row, sum)) in rows.zip(&mut self.wanted).enumerate() {
            let value = weight * f64::from(vector[i]);
            for (product, &other) in row[..=i].iter_mut().zip(vector) {
                *product += value * f64::from(other);
            }
            *sum += value * wanted;
        }
    }
}

/// Where the target is in the map of a look, and how large, in cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// x and y of the centre; (0, 0) is the centre of the first cell.
    pub center: (f64, f64),
    /// Width and height.
    pub size: (f64, f64),
}

/// The classifier of one target. It allocates nothing after it was made.
#[derive(Debug)]
pub(super) struct Classifier {
    /// Cells a side.
    side: usize,
    first: Sums,
    later: Sums,
    has_later: bool,
    /// Mean of each channel in the first look at the target, once there was one.
    means: Vec<f32>,
    has_means: bool,
    /// The features of the last look, less their means and scaled, one map per channel.
    features: Vec<f32>,
    /// The features of one cell and the constant.
    vector: Vec<f32>,
    filter: Vec<f32>,
    responses: Vec<f32>,
    /// Whether the features of the last look were finite.
    is_usable: bool,
    /// Room for the solution.
    factor: Vec<f64>,
    solution: Vec<f64>,
}

impl Classifier {
    /// For maps of `side` x `side` cells with `channels` features each.
    pub fn new(channels: usize, side: usize) -> Self {
        let length = channels + 1;
        Self {
            side,
            first: Sums::new(length),
            later: Sums::new(length),
            has_later: false,
            means: vec![0.0; channels],
            has_means: false,
            features: vec![0.0; side * side * channels],
            vector: vec![CONSTANT; length],
            filter: vec![0.0; length],
            responses: vec![0.0; side * side],
            is_usable: false,
            factor: vec![0.0; length * length],
            solution: vec![0.0; length],
        }
    }

    /// Forgets the target.
    pub fn restart(&mut self) {
        self.first.scale(0.0);
        self.later.scale(0.0);
        self.filter.fill(0.0);
        self.responses.fill(0.0);
        (self.has_later, self.has_means, self.is_usable) = (false, false, false);
    }

    /// Reads the features of a look, `channels` maps, and computes the responses to them. A look with features that are
    /// not finite has the response 0 everywhere and is not learnt.
    pub fn look(&mut self, features: &[f32]) {
        let cells = self.side * self.side;
        let maps = features.chunks_exact(cells);
        if !self.has_means {
            for (mean, map) in self.means.iter_mut().zip(maps.clone()) {
                *mean = map.iter().sum::<f32>() / cells as f32;
            }
        }
        let energy: f32 = maps
            .clone()
            .zip(&self.means)
            .map(|(map, &mean)| squares(map, mean))
            .sum();
        self.is_usable = energy.is_finite();
        self.responses.fill(0.0);
        if !self.is_usable {
            return;
        }
        self.has_means = true;
        // The mean vector of a look has the length 1, so that contrast and lighting have less effect.
        let scale = 1.0 / (energy / cells as f32).sqrt().max(1e-6);
        let (weights, constant) = self.filter.split_at(self.means.len());
        self.responses.fill(constant[0] * CONSTANT);
        let own = self.features.chunks_exact_mut(cells);
        for (((own, map), &mean), &weight) in own.zip(maps).zip(&self.means).zip(weights) {
            for ((own, &value), response) in own.iter_mut().zip(map).zip(&mut self.responses) {
                *own = (value - mean) * scale;
                *response += weight * *own;
            }
        }
    }

    /// The responses to the last look, row-major. 1 is wanted at the target's centre and 0 away from it.
    pub fn responses(&self) -> &[f32] {
        &self.responses
    }

    /// Counts the last look as one of `looks` at the first frame. [`Self::solve`] follows the last of them.
    pub fn learn_first(&mut self, target: Place, looks: usize) {
        if !self.is_usable {
            return;
        }
        let weight = 1.0 / looks as f64;
        let Self {
            first,
            features,
            vector,
            side,
            ..
        } = self;
        add(first, features, vector, *side, target, weight);
    }

    /// Counts the last look as one at a later frame, and solves the regression.
    pub fn learn(&mut self, target: Place) {
        if !self.is_usable {
            return;
        }
        let weight = if self.has_later { RATE } else { 1.0 };
        let Self {
            later,
            features,
            vector,
            side,
            ..
        } = self;
        later.scale(1.0 - weight);
        add(later, features, vector, *side, target, weight);
        self.has_later = true;
        self.solve();
    }

    /// Computes the filter by Cholesky's factors of the products. Keeps the one before if a number is too large.
    pub fn solve(&mut self) {
        let Self {
            first,
            later,
            factor,
            solution,
            ..
        } = self;
        let length = solution.len();
        let share = if self.has_later { FIRST } else { 1.0 };
        let mix = |first: f64, later: f64| share * first + (1.0 - share) * later;
        for i in 0..length {
            for j in 0..=i {
                let at = i * length + j;
                let (before, row) = factor.split_at_mut(i * length);
                let mut value = mix(first.products[at], later.products[at]);
                if i == j {
                    value += RIDGE;
                }
                let (left, right) = if i == j {
                    (&row[..j], &row[..j])
                } else {
                    (&row[..j], &before[j * length..][..j])
                };
                value -= left.iter().zip(right).map(|(a, b)| a * b).sum::<f64>();
                row[j] = if i == j {
                    value.sqrt()
                } else {
                    value / before[j * length + j]
                };
            }
            let row = &factor[i * length..][..=i];
            let known: f64 = row[..i].iter().zip(&*solution).map(|(a, b)| a * b).sum();
            solution[i] = (mix(first.wanted[i], later.wanted[i]) - known) / row[i];
        }
        for i in (0..length).rev() {
            let known: f64 = (i + 1..length)
                .map(|j| factor[j * length + i] * solution[j])
                .sum();
            solution[i] = (solution[i] - known) / factor[i * length + i];
        }
        if solution.iter().all(|value| value.is_finite()) {
            for (weight, value) in self.filter.iter_mut().zip(solution) {
                *weight = *value as f32;
            }
        }
    }
}

/// Adds all cells of a look with the target at `target`. `vector` is room for one cell, with the constant at its end.
fn add(
    sums: &mut Sums,
    features: &[f32],
    vector: &mut [f32],
    side: usize,
    target: Place,
    weight: f64,
) {
    let bell = |distance: f64, size: f64| (-0.5 * (distance / (PEAK * size)).powi(2)).exp();
    let cells = side * side;
    for cell in 0..cells {
        for (value, map) in vector.iter_mut().zip(features.chunks_exact(cells)) {
            *value = map[cell];
        }
        let (x, y) = ((cell % side) as f64, (cell / side) as f64);
        let wanted =
            bell(x - target.center.0, target.size.0) * bell(y - target.center.1, target.size.1);
        sums.add(vector, wanted, weight);
    }
}

/// Sum of the squared distances from `mean`, in eight partial sums that the processor computes at once.
fn squares(map: &[f32], mean: f32) -> f32 {
    let eights = map.chunks_exact(8);
    let rest: f32 = eights
        .remainder()
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum();
    let mut sums = [0.0_f32; 8];
    for eight in eights {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum += (value - mean).powi(2);
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::{Classifier, Place};

    const SIDE: usize = 14;
    const CELLS: usize = SIDE * SIDE;
    const SIZE: (f64, f64) = (3.6, 3.6);

    fn bell(center: (f64, f64), cell: usize) -> f32 {
        let (dx, dy) = (
            (cell % SIDE) as f64 - center.0,
            (cell / SIDE) as f64 - center.1,
        );
        (-(dx * dx + dy * dy) / 2.0).exp() as f32
    }

    /// Three channels: what all objects have, what only the target has, and a texture of the background.
    fn scene(target: (f64, f64), other: (f64, f64)) -> Vec<f32> {
        let mut features = vec![0.0; 3 * CELLS];
        for cell in 0..CELLS {
            let (own, others) = (bell(target, cell), bell(other, cell));
            features[cell] = 4.0 * (own + others);
            features[CELLS + cell] = own - others;
            features[2 * CELLS + cell] = ((cell * 7) % 5) as f32 - 2.0;
        }
        features
    }

    fn best(responses: &[f32]) -> usize {
        (0..responses.len())
            .max_by(|&a, &b| responses[a].total_cmp(&responses[b]))
            .unwrap()
    }

    fn started(target: (f64, f64), other: (f64, f64)) -> Classifier {
        let mut classifier = Classifier::new(3, SIDE);
        classifier.restart();
        classifier.look(&scene(target, other));
        classifier.learn_first(
            Place {
                center: target,
                size: SIZE,
            },
            1,
        );
        classifier.solve();
        classifier
    }

    #[test]
    fn tells_the_target_from_an_object_that_differs_in_a_weak_channel() {
        let mut classifier = started((6.0, 6.0), (11.0, 6.0));
        // The other object stands where the target was.
        classifier.look(&scene((2.0, 9.0), (6.0, 6.0)));
        assert_eq!(best(classifier.responses()), 9 * SIDE + 2);
        assert!(classifier.responses()[6 * SIDE + 6] < 0.5 * classifier.responses()[9 * SIDE + 2]);
    }

    #[test]
    fn the_filter_solves_the_regression() {
        let mut classifier = started((6.0, 6.0), (11.0, 6.0));
        let look = scene((5.0, 7.0), (9.0, 2.0));
        classifier.look(&look);
        classifier.learn(Place {
            center: (5.0, 7.0),
            size: SIZE,
        });
        let length = classifier.filter.len();
        let (first, later) = (&classifier.first, &classifier.later);
        for i in 0..length {
            let mut left = super::RIDGE * f64::from(classifier.filter[i]);
            for j in 0..length {
                let at = i.max(j) * length + i.min(j);
                let product =
                    super::FIRST * first.products[at] + (1.0 - super::FIRST) * later.products[at];
                left += product * f64::from(classifier.filter[j]);
            }
            let right = super::FIRST * first.wanted[i] + (1.0 - super::FIRST) * later.wanted[i];
            assert!((left - right).abs() < 1e-5, "row {i}: {left}, {right}");
        }
    }

    #[test]
    fn a_restart_forgets_the_target() {
        let mut classifier = started((6.0, 6.0), (11.0, 6.0));
        classifier.restart();
        classifier.look(&scene((3.0, 3.0), (11.0, 6.0)));
        assert!(
            classifier
                .responses()
                .iter()
                .all(|&response| response == 0.0)
        );
        classifier.learn_first(
            Place {
                center: (11.0, 6.0),
                size: SIZE,
            },
            1,
        );
        classifier.solve();
        classifier.look(&scene((3.0, 3.0), (11.0, 6.0)));
        assert_eq!(best(classifier.responses()), 6 * SIDE + 11);
    }

    #[test]
    fn features_that_are_not_finite_are_not_learnt() {
        let mut classifier = started((6.0, 6.0), (11.0, 6.0));
        let before = classifier.filter.clone();
        let target = Place {
            center: (6.0, 6.0),
            size: SIZE,
        };
        classifier.look(&vec![f32::NAN; 3 * CELLS]);
        assert!(
            classifier
                .responses()
                .iter()
                .all(|&response| response == 0.0)
        );
        classifier.learn(target);
        assert_eq!(classifier.filter, before);
        classifier.look(&scene((6.0, 6.0), (10.0, 7.0)));
        classifier.learn(target);
        assert!(classifier.filter.iter().all(|weight| weight.is_finite()));
        assert_ne!(classifier.filter, before);
    }
}
