//! How far a network's maps are from those of another run on the same image.

use ettrack::families;
use ettrack::model::Manifest;

/// The largest difference of each map, over all images so far.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    largest: Vec<f32>,
}

impl Differences {
    /// Takes the maps of one image, each as the family reads them.
    pub fn add(&mut self, exact: &[Vec<f32>], maps: &[Vec<f32>]) {
        self.largest.resize(maps.len(), 0.0);
        for ((largest, exact), map) in self.largest.iter_mut().zip(exact).zip(maps) {
            for (exact, value) in exact.iter().zip(map) {
                let difference = (exact - value).abs();
                // A number that is none is as far away as can be.
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

    /// By the names of the graph's outputs; nothing where no maps were taken.
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
