//! The place of the flight: a winding road through meadows, with houses, trees, a bridge, and similar cars.

use std::f64::consts::{PI, TAU};

use super::body::{Body, Paint, SUN, Shape, Skin};
use super::camera::Vec3;
use super::noise::{Random, fractal};
use super::texture::{Rgb, Texture};

/// Side of the ground's texture in metres; the ground repeats beyond it.
const GROUND: f64 = 256.0;
/// Texels along the ground's side. Tests render small pictures and need less.
const GROUND_TEXELS: usize = if cfg!(test) { 256 } else { 2048 };
/// Side of the fine pattern on the ground, metres.
const DETAIL: f64 = 16.0;
const DETAIL_TEXELS: usize = 512;
/// Half width of the road, metres.
const ROAD: f64 = 3.9;
/// Distance of the right lane's middle from the road's middle, metres.
const LANE: f64 = 1.9;
/// Brightness of the ground in a shadow.
const SHADE: f32 = 0.5;
/// Height of the bridge's lower side, metres.
const BRIDGE: f64 = 4.6;

/// The road's middle: a circle with waves, by angle.
#[derive(Debug, Clone, Copy)]
struct Road {
    radius: f64,
    waves: [(f64, f64, f64); 2],
}

impl Road {
    fn radius(&self, angle: f64) -> f64 {
        let waves: f64 = self
            .waves
            .iter()
            .map(|(size, count, shift)| size * (count * angle + shift).sin())
            .sum();
        self.radius * (1.0 + waves)
    }

    /// Distance from the middle of the road in metres, positive outwards.
    fn offset(&self, x: f64, y: f64) -> f64 {
        let angle = y.atan2(x);
        let step = 1e-3;
        let slope = (self.radius(angle + step) - self.radius(angle - step)) / (2.0 * step);
        let radius = self.radius(angle);
        (x.hypot(y) - radius) / 1.0_f64.hypot(slope / radius)
    }

    /// Place and heading at `aside` metres outwards of the road's middle.
    fn place(&self, angle: f64, aside: f64) -> (Vec3, f64) {
        let at = |angle: f64| {
            let radius = self.radius(angle);
            (radius * angle.cos(), radius * angle.sin())
        };
        let (x, y) = at(angle);
        let (dx, dy) = (at(angle + 1e-4).0 - x, at(angle + 1e-4).1 - y);
        let heading = dy.atan2(dx);
        // Cars drive counter-clockwise, so outwards is to the right of the driving direction.
        (
            [x + aside * heading.sin(), y - aside * heading.cos(), 0.0],
            heading,
        )
    }
}

/// A car on the road.
#[derive(Debug, Clone, Copy)]
struct Car {
    /// Angle on the road at time 0, and speed in radians a second; negative drives the other way, on the other lane.
    start: f64,
    speed: f64,
    /// For a parked car, metres outwards of the road's middle.
    parked: Option<f64>,
    paint: Paint,
    is_target: bool,
}

/// The road, the ground and all bodies.
#[derive(Debug)]
pub(super) struct World {
    road: Road,
    ground: Texture,
    detail: Texture,
    standing: Vec<Body>,
    cars: Vec<Car>,
}

fn mix(a: Rgb, b: Rgb, part: f64) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * part.clamp(0.0, 1.0) as f32)
}

impl World {
    /// Builds the place for a flight of `seconds`.
    pub fn new(seed: u64, seconds: f64) -> Self {
        let mut random = Random::new(seed);
        let road = Road {
            radius: random.between(62.0, 74.0),
            waves: [
                (random.between(0.04, 0.09), 3.0, random.between(0.0, TAU)),
                (random.between(0.02, 0.04), 5.0, random.between(0.0, TAU)),
            ],
        };
        let cars = cars(&mut random, &road, seconds);
        let target = cars[0];
        let bridge_angle = target.start + target.speed * seconds * 0.52;
        let standing = standing(&mut random, &road, bridge_angle);
        let detail = Texture::new(DETAIL_TEXELS, |x, y| {
            let cells = 32.0 / DETAIL_TEXELS as f64;
            let grain = fractal(seed ^ 0xd5, x as f64 * cells, y as f64 * cells, 5, Some(32));
            [(0.55 + 0.9 * grain) as f32; 3]
        });
        let ground = paint_ground(seed, &road, &standing);
        Self {
            road,
            ground,
            detail,
            standing,
            cars,
        }
    }

    /// Place and heading of the target at a time in seconds.
    pub fn target(&self, time: f64) -> (Vec3, f64) {
        self.cars[0].place(&self.road, time)
    }

    /// All bodies at a time in seconds; those that do not move come first.
    pub fn bodies(&self, time: f64) -> Vec<Body> {
        let mut bodies = self.standing.clone();
        for car in &self.cars {
            bodies.extend(car.bodies(&self.road, time));
        }
        bodies
    }

    /// Colour of the ground at (x, y) metres for a pixel that covers `footprint` metres, with the shadows of `cars`.
    pub fn ground(&self, x: f64, y: f64, footprint: f64, cars: &[Body]) -> Rgb {
        let fine = GROUND_TEXELS as f64 / GROUND;
        let color = self.ground.sample(
            (x + 0.5 * GROUND) * fine,
            (y + 0.5 * GROUND) * fine,
            footprint * fine,
        );
        let finer = DETAIL_TEXELS as f64 / DETAIL;
        let grain = self.detail.sample(x * finer, y * finer, footprint * finer);
        // Asphalt, which is grey, has a weaker pattern than grass.
        let grey = (color[1] - color[2]).abs() < 0.05;
        let strength = if grey { 0.35 } else { 1.0 };
        let shaded = cars.iter().any(|car| in_shadow(car, x, y));
        let light = if shaded { SHADE } else { 1.0 };
        std::array::from_fn(|i| color[i] * (1.0 + (grain[i] - 1.0) * strength) * light)
    }
}

/// The bodies whose shadow may fall on each cell of the ground.
struct ShadowCells {
    cells: Vec<Vec<Body>>,
}

impl ShadowCells {
    /// Cells along the ground's side.
    const CELLS: usize = 32;

    fn new(standing: &[Body]) -> Self {
        let side = GROUND / Self::CELLS as f64;
        let middle = |cell: usize| (cell as f64 + 0.5) * side - 0.5 * GROUND;
        let cells = (0..Self::CELLS * Self::CELLS)
            .map(|cell| {
                let (x, y) = (middle(cell % Self::CELLS), middle(cell / Self::CELLS));
                let near = |body: &&Body| {
                    let (dx, dy) = (x - body.center[0], y - body.center[1]);
                    dx.hypot(dy) < reach(body) + side
                };
                standing.iter().filter(near).copied().collect()
            })
            .collect();
        Self { cells }
    }

    fn near(&self, x: f64, y: f64) -> &[Body] {
        let cell = |at: f64| {
            let cell = (at / GROUND + 0.5) * Self::CELLS as f64;
            (cell as usize).min(Self::CELLS - 1)
        };
        &self.cells[cell(y) * Self::CELLS + cell(x)]
    }
}

/// Greatest distance in metres of a body's shadow from the point below its centre.
fn reach(body: &Body) -> f64 {
    let half = body.half();
    half[0].max(half[1]) + body.center[2] + half[2]
}

/// Whether the body hides the sun from the point (x, y) on the ground.
fn in_shadow(body: &Body, x: f64, y: f64) -> bool {
    let reach = reach(body);
    let (dx, dy) = (x - body.center[0], y - body.center[1]);
    dx * dx + dy * dy < reach * reach && body.hit([x, y, 0.0], SUN).is_some()
}

impl Car {
    fn place(&self, road: &Road, time: f64) -> (Vec3, f64) {
        let angle = self.start + self.speed * time;
        match self.parked {
            Some(aside) => road.place(self.start, aside),
            None if self.speed < 0.0 => {
                let (place, heading) = road.place(angle, -LANE);
                (place, heading + PI)
            }
            None => road.place(angle, LANE),
        }
    }

    fn bodies(&self, road: &Road, time: f64) -> [Body; 2] {
        let (place, heading) = self.place(road, time);
        let body = |x: f64, z: f64, half: Vec3, skin: Skin| Body {
            center: [
                place[0] + x * heading.cos(),
                place[1] + x * heading.sin(),
                z,
            ],
            heading,
            shape: Shape::Box(half),
            skin,
            is_target: self.is_target,
        };
        [
            body(0.0, 0.68, [2.3, 0.95, 0.46], Skin::CarBody(self.paint)),
            body(-0.25, 1.42, [1.25, 0.82, 0.3], Skin::CarCabin(self.paint)),
        ]
    }
}

fn cars(random: &mut Random, road: &Road, seconds: f64) -> Vec<Car> {
    const COLORS: [Rgb; 6] = [
        [0.72, 0.1, 0.09],
        [0.12, 0.28, 0.62],
        [0.82, 0.66, 0.1],
        [0.85, 0.86, 0.88],
        [0.1, 0.42, 0.24],
        [0.12, 0.12, 0.14],
    ];
    let pick = |random: &mut Random| COLORS[(random.unit() * 6.0) as usize % 6];
    let main = COLORS[(random.unit() * 4.0) as usize % 4];
    let second = if main[1] > 0.5 {
        [0.12, 0.13, 0.16]
    } else {
        [0.93, 0.92, 0.88]
    };
    let own = Paint {
        main,
        second,
        mark: 1,
    };
    let speed = random.between(7.5, 9.5) / road.radius;
    let start = random.between(0.0, TAU);
    let moving = |start: f64, speed: f64, paint: Paint| Car {
        start,
        speed,
        parked: None,
        paint,
        is_target: false,
    };
    let metres = 1.0 / road.radius;
    let mut cars = vec![Car {
        is_target: true,
        ..moving(start, speed, own)
    }];
    // A similar car behind the target, and two that meet it from the front, at a quarter and at four fifths of the flight.
    cars.push(moving(
        start - 12.5 * metres,
        speed,
        Paint { mark: 2, ..own },
    ));
    for (part, mark) in [(0.25, 3), (0.8, 0)] {
        let meeting = start + speed * seconds * part;
        let back = -speed * random.between(0.8, 1.1);
        cars.push(moving(
            meeting - back * seconds * part,
            back,
            Paint { mark, ..own },
        ));
    }
    for index in 0..14_u8 {
        let own_colors = index % 4 == 0;
        let paint = Paint {
            main: if own_colors { main } else { pick(random) },
            second: if own_colors { second } else { pick(random) },
            mark: index % 4,
        };
        if index < 9 {
            let side = if random.unit() < 0.5 { -1.0 } else { 1.0 };
            cars.push(Car {
                parked: Some(side * random.between(6.4, 8.0)),
                ..moving(random.between(0.0, TAU), 0.0, paint)
            });
        } else {
            let ahead = random.between(0.25, 1.0) * PI;
            let direction = if index % 2 == 0 { 1.0 } else { -0.9 };
            cars.push(moving(start + ahead, speed * direction, paint));
        }
    }
    cars
}

fn standing(random: &mut Random, road: &Road, bridge_angle: f64) -> Vec<Body> {
    let fixed = |center: Vec3, heading: f64, shape: Shape, skin: Skin| Body {
        center,
        heading,
        shape,
        skin,
        is_target: false,
    };
    let (place, heading) = road.place(bridge_angle, 0.0);
    let mut bodies = vec![fixed(
        [place[0], place[1], BRIDGE + 0.5],
        heading,
        Shape::Box([4.2, 24.0, 0.5]),
        Skin::Concrete,
    )];
    let half_span = 120.0;
    let far_from_bridge = |x: f64, y: f64| (x - place[0]).hypot(y - place[1]) > 26.0;
    let mut placed: Vec<(f64, f64, f64)> = Vec::new();
    let mut tries = 0;
    while placed.len() < 120 && tries < 6000 {
        tries += 1;
        let (x, y) = (
            random.between(-half_span, half_span),
            random.between(-half_span, half_span),
        );
        let is_house = placed.len() < 26;
        let room = if is_house { 9.0 } else { 3.2 };
        let off_road = road.offset(x, y).abs();
        let near_road = if is_house { 17.0 } else { 9.5 };
        let free = placed
            .iter()
            .all(|(ox, oy, other)| (x - ox).hypot(y - oy) > room + other);
        if off_road < near_road || !free || (is_house && !far_from_bridge(x, y)) {
            continue;
        }
        placed.push((x, y, room));
        let seed = (random.unit() * 1e9) as u64;
        if is_house {
            let half = [
                random.between(4.0, 7.0),
                random.between(3.5, 5.5),
                random.between(1.8, 3.2),
            ];
            let tone = random.between(0.55, 0.85) as f32;
            let walls = [tone, tone * 0.95, tone * 0.85];
            let roof = if random.unit() < 0.6 {
                [0.5, 0.24, 0.17]
            } else {
                [0.35, 0.34, 0.34]
            };
            let skin = Skin::Building { walls, roof, seed };
            let turn = random.between(0.0, PI);
            bodies.push(fixed([x, y, half[2]], turn, Shape::Box(half), skin));
        } else {
            let wide = random.between(1.6, 3.2);
            let high = random.between(1.7, 3.0);
            let color = [
                random.between(0.1, 0.24) as f32,
                random.between(0.26, 0.4) as f32,
                random.between(0.07, 0.14) as f32,
            ];
            let skin = Skin::Leaves { color, seed };
            let shape = Shape::Crown([wide, wide * random.between(0.85, 1.15), high]);
            bodies.push(fixed([x, y, high * 1.25], 0.0, shape, skin));
        }
    }
    bodies
}

/// Paints meadow, earth, the road with its markings, and the shadows of the bodies that do not move.
fn paint_ground(seed: u64, road: &Road, standing: &[Body]) -> Texture {
    let texel = GROUND / GROUND_TEXELS as f64;
    let ground_seed = seed ^ 0x67;
    let shadows = ShadowCells::new(standing);
    Texture::new(GROUND_TEXELS, |column, row| {
        let x = (column as f64 + 0.5) * texel - 0.5 * GROUND;
        let y = (row as f64 + 0.5) * texel - 0.5 * GROUND;
        let noise = |wavelength: f64, shift: u64| {
            fractal(
                ground_seed + 16 * shift,
                x / wavelength,
                y / wavelength,
                5,
                None,
            )
        };
        let lush = [0.2, 0.34, 0.12];
        let dry = [0.47, 0.43, 0.22];
        let earth = [0.4, 0.31, 0.22];
        let mut color = mix(lush, dry, (noise(34.0, 1) - 0.38) * 3.2);
        color = mix(color, earth, (noise(21.0, 2) - 0.6) * 7.0);
        let spots = noise(2.6, 3) as f32;
        color = color.map(|c| c * (0.55 + 0.9 * spots));
        let offset = road.offset(x, y);
        let from_middle = offset.abs();
        // Gravel beside the road, then asphalt with markings.
        color = mix([0.5, 0.46, 0.4], color, (from_middle - ROAD - 0.2) / 0.9);
        let stains = (0.82 + 0.36 * noise(7.0, 4)) as f32;
        let asphalt = [0.27, 0.27, 0.28].map(|c: f32| c * stains);
        color = mix(asphalt, color, (from_middle - ROAD) / 0.25);
        let angle = y.atan2(x);
        let dash = (angle * road.radius / 6.0).rem_euclid(1.0) < 0.5;
        if (from_middle - ROAD + 0.35).abs() < 0.09 || (from_middle < 0.09 && dash) {
            color = mix(color, [0.85, 0.85, 0.82], 0.85);
        }
        let shaded = shadows.near(x, y).iter().any(|body| in_shadow(body, x, y));
        if shaded {
            color.map(|c| c * SHADE)
        } else {
            color
        }
    })
}
