//! A square texture of the ground, with smaller copies so that distant ground does not flicker.

/// Linear colour; components are about 0..1.
pub(super) type Rgb = [f32; 3];

/// A square texture whose side is a power of two, with all copies of half the size.
#[derive(Debug)]
pub(super) struct Texture {
    levels: Vec<Vec<Rgb>>,
    side: usize,
}

impl Texture {
    /// Fills a square of `side` texels (a power of two), with several threads.
    pub fn new(side: usize, paint: impl Fn(usize, usize) -> Rgb + Sync) -> Self {
        let mut first = vec![[0.0; 3]; side * side];
        let rows = side.div_ceil(super::workers());
        std::thread::scope(|scope| {
            for (part, chunk) in first.chunks_mut(rows * side).enumerate() {
                let paint = &paint;
                scope.spawn(move || {
                    for (index, texel) in chunk.iter_mut().enumerate() {
                        *texel = paint(index % side, part * rows + index / side);
                    }
                });
            }
        });
        let mut levels = vec![first];
        let mut size = side;
        while size > 1 {
            let above = &levels[levels.len() - 1];
            let half = size / 2;
            let mut next = Vec::with_capacity(half * half);
            for y in 0..half {
                for x in 0..half {
                    let at = |dx: usize, dy: usize| above[(2 * y + dy) * size + 2 * x + dx];
                    let corners = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
                    next.push(std::array::from_fn(|c| {
                        corners.iter().map(|corner| corner[c]).sum::<f32>() / 4.0
                    }));
                }
            }
            levels.push(next);
            size = half;
        }
        Self { levels, side }
    }

    /// The colour at (x, y) texels, repeated endlessly, for a pixel that covers `footprint` texels.
    pub fn sample(&self, x: f64, y: f64, footprint: f64) -> Rgb {
        let level = (footprint.max(1.0).log2() as usize).min(self.levels.len() - 1);
        let size = (self.side >> level) as i64;
        let shrink = 1.0 / (1_u64 << level) as f64;
        let (x, y) = (x * shrink - 0.5, y * shrink - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = ((x - x0) as f32, (y - y0) as f32);
        let texels = &self.levels[level];
        // The side is a power of two, so the mask also wraps negative numbers.
        let at = |dx: i64, dy: i64| {
            let column = (x0 as i64 + dx) & (size - 1);
            let row = (y0 as i64 + dy) & (size - 1);
            texels[(row * size + column) as usize]
        };
        let (a, b, c, d) = (at(0, 0), at(1, 0), at(0, 1), at(1, 1));
        std::array::from_fn(|i| {
            let top = a[i] + (b[i] - a[i]) * fx;
            let bottom = c[i] + (d[i] - c[i]) * fx;
            top + (bottom - top) * fy
        })
    }
}
