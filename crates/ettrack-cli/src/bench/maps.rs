//! The differences between the maps of two runs of a network on the same images.

use ettrack::families;
use ettrack::model::Manifest;

/// The largest difference of each map over all images so far.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    largest: Vec<f32>,
}

impl Differences {
    /// Adds the maps of one image in the form that the family reads.
    pub fn add(&mut self, exact: &[Vec<f32>], maps: &[Vec<f32>]) {
        self.largest.resize(maps.len(), 0.0);
        for ((largest, exact), map) in self.largest.iter_mut().zip(exact).zip(maps) {
            for (exact, value) in exact.iter().zip(map) {
                let difference = (exact - value).abs();
                // NaN counts as an infinite difference.
                if difference > *largest || difference.is_nan() {
                    *largest = if difference.is_nan() {
                        f32::INFINITY
                    } else {
                        difference
                    };
                }
            }
        }
    }

    /// Returns the differences by the names of the graph's outputs, or nothing if there were no maps.
    pub fn named(&self, manifest: &Manifest, search_size: usize) -> Vec<(String, f32)> {
        let names = families::by_name(&manifest.family)
            .and_then(|family| family.outputs(manifest, search_size))
            .map(|outputs| {
                outputs
                    .iter()
                    .map(|output| output.name.to_owned())
                    .collect()
            })
            .unwrap_or_else(|_| Vec::new());
        let largest = self.largest.iter().copied();
        names.into_iter().zip(largest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_of_each_map_is_kept() {
        let mut differences = Differences::default();
        differences.add(&[vec![1.0, 2.0], vec![0.0]], &[vec![1.5, 2.0], vec![0.0]]);
        differences.add(&[vec![1.0, 2.0], vec![0.0]], &[vec![1.0, 1.75], vec![-3.0]]);
        assert_eq!(differences.largest, [0.5, 3.0]);
        differences.add(&[vec![1.0], vec![0.0]], &[vec![f32::NAN], vec![0.0]]);
        assert_eq!(differences.largest, [f32::INFINITY, 3.0]);
    }
}
