use super::*;
use ettrack_message::{BoundingBox2D, Header, Stamp};

const SECOND: i64 = 1_000_000_000;

/// Returns an answer at `seconds` for a target at the angle `right`, rad. Its sides are `size` times those of the image, which
/// has 640x480 pixels.
fn target(seconds: f64, right: f64, size: f64) -> TrackedTarget {
    TrackedTarget {
        header: Header {
            stamp: Stamp::from_nanoseconds((seconds * SECOND as f64) as i64),
            frame_id: "camera".into(),
        },
        target_id: "1".into(),
        state: TargetState::Tracking,
        bounding_box: BoundingBox2D {
            center_x: 400.0,
            center_y: 240.0,
            theta: 0.0,
            size_x: 640.0 * size,
            size_y: 480.0 * size,
        },
        confidence: 0.9,
        offset_x: 0.25,
        offset_y: 0.0,
        bearing: Some([right.sin(), 0.0, right.cos()]),
    }
}

fn settings() -> Settings {
    Settings {
        target_size: 0.2,
        ..Settings::default()
    }
}

/// Runs the follower at 20 Hz for `seconds` from the time `from` on. Each tick gets the answer that `answer` returns, if any.
fn run(
    follower: &mut Follower,
    from: f64,
    seconds: f64,
    answer: impl Fn(f64) -> Option<TrackedTarget>,
) -> (Vec<Velocity>, Option<Idle>) {
    let mut velocities = Vec::new();
    let mut idle = None;
    for tick in 0..(seconds * 20.0) as u32 {
        let now = from + f64::from(tick) / 20.0;
        let steady = Duration::from_secs_f64(now);
        if let Some(target) = answer(now) {
            follower.on_target(&target, (now * SECOND as f64) as i64, steady);
        }
        let (velocity, why) = follower.tick(steady);
        velocities.push(velocity);
        idle = why;
    }
    (velocities, idle)
}

fn moving() -> Follower {
    let mut follower = Follower::new(settings());
    let (velocities, idle) = run(&mut follower, 100.0, 2.0, |now| Some(target(now, 0.4, 0.1)));
    assert_eq!(idle, None);
    let last = velocities[velocities.len() - 1];
    assert!(last.yaw < -0.3 && last.forward > 0.3, "{last:?}");
    follower
}

#[test]
fn turns_towards_the_target_and_drives_to_the_wanted_size() {
    moving();
    let (velocities, _) = run(&mut Follower::new(settings()), 1.0, 2.0, |now| {
        Some(target(now, -0.4, 0.4))
    });
    let last = velocities[velocities.len() - 1];
    assert!(
        last.yaw > 0.3 && last.forward < -0.3,
        "left and back: {last:?}"
    );
}

#[test]
fn stands_still_when_the_target_is_in_the_middle_and_of_the_wanted_size() {
    let (velocities, idle) = run(&mut Follower::new(settings()), 1.0, 1.0, |now| {
        Some(target(now, 0.01, 0.2))
    });
    assert_eq!(idle, None);
    assert!(velocities.iter().all(|v| *v == Velocity::default()));
}

#[test]
fn limits_speeds_and_accelerations() {
    let settings = settings();
    let (velocities, _) = run(&mut Follower::new(settings.clone()), 1.0, 5.0, |now| {
        Some(target(now, 1.5, 0.001))
    });
    for two in velocities.windows(2) {
        assert!((two[1].yaw - two[0].yaw).abs() <= settings.max_yaw_acceleration / 20.0 + 1e-9);
        assert!((two[1].forward - two[0].forward).abs() <= settings.max_acceleration / 20.0 + 1e-9);
    }
    let last = velocities[velocities.len() - 1];
    assert_eq!(
        (last.yaw, last.forward),
        (-settings.max_yaw_rate, settings.max_speed)
    );
}

#[test]
fn stops_without_a_target() {
    let lost = |now: f64| TrackedTarget {
        state: TargetState::Lost,
        ..target(now, 0.4, 0.1)
    };
    let unchosen = |now: f64| TrackedTarget {
        state: TargetState::Idle,
        ..target(now, 0.4, 0.1)
    };
    let blind = |now: f64| TrackedTarget {
        bearing: None,
        ..target(now, 0.4, 0.1)
    };
    type Answer = Box<dyn Fn(f64) -> Option<TrackedTarget>>;
    let cases: [(Answer, &str); 7] = [
        (Box::new(|_| None), "no message on tracked_target"),
        (Box::new(move |now| Some(lost(now))), "the target is LOST"),
        (
            Box::new(move |now| Some(unchosen(now))),
            "the target is IDLE",
        ),
        (Box::new(move |now| Some(blind(now))), "has no bearing"),
        (
            Box::new(|now| Some(target(now - 1.0, 0.4, 0.1))),
            "ms before the clock",
        ),
        (
            Box::new(|now| Some(target(now + 1.0, 0.4, 0.1))),
            "ms before the clock",
        ),
        (
            Box::new(|_| Some(target(100.0, 0.4, 0.1))),
            "before the clock",
        ),
    ];
    for (answer, words) in cases {
        let mut follower = moving();
        let (velocities, idle) = run(&mut follower, 102.0, 2.5, answer);
        let last = velocities[velocities.len() - 1];
        assert_eq!(last, Velocity::default(), "{words}");
        let idle = idle.map(|idle| idle.to_string()).unwrap_or_default();
        assert!(idle.contains(words), "{idle}");
        // Stops within the silence plus the time that the limited acceleration takes.
        let stopped = velocities
            .iter()
            .position(|v| *v == Velocity::default())
            .unwrap();
        assert!(stopped <= 20 * 2, "{words}: after {stopped} ticks");
    }
}

#[test]
fn stops_when_two_cameras_publish_on_one_topic() {
    let mut follower = moving();
    let (velocities, idle) = run(&mut follower, 102.0, 2.0, |now| {
        let mut target = target(now, 0.4, 0.1);
        if (now * 20.0) as i64 % 2 == 0 {
            target.header.frame_id = "other".into();
        }
        Some(target)
    });
    assert_eq!(velocities[velocities.len() - 1], Velocity::default());
    let words = idle.map(|idle| idle.to_string()).unwrap_or_default();
    assert!(words.contains("\"camera\" and \"other\""), "{words}");
    // When the answers of one camera stop, the follower follows those of the other.
    let (_, idle) = run(&mut follower, 106.0, 1.0, |now| {
        let mut target = target(now, 0.4, 0.1);
        target.header.frame_id = "other".into();
        Some(target)
    });
    assert_eq!(idle, None);
}

#[test]
fn stands_still_on_answers_with_nan_or_infinity() {
    for bearing in [[f64::NAN; 3], [f64::INFINITY, 0.0, 0.0], [0.0; 3]] {
        let (velocities, _) = run(&mut Follower::new(settings()), 1.0, 1.0, |now| {
            let mut target = target(now, 0.4, 0.2);
            target.bearing = Some(bearing);
            Some(target)
        });
        assert!(
            velocities.iter().all(|v| *v == Velocity::default()),
            "{bearing:?}"
        );
    }
    let (velocities, _) = run(&mut Follower::new(settings()), 1.0, 1.0, |now| {
        let mut target = target(now, 0.0, 0.2);
        target.bounding_box.size_x = f64::NAN;
        Some(target)
    });
    assert!(velocities.iter().all(|v| v.forward == 0.0));
}

#[test]
fn computes_the_position_of_a_target_of_known_size() {
    let mut follower = Follower::new(Settings {
        target_meters: 2.0,
        ..settings()
    });
    // 128 x 96 pixels, at an angle of 0.3 to the right.
    let seen = target(1.0, 0.3, 0.2);
    assert_eq!(follower.place(&seen), None, "no calibration");
    let mut camera = ettrack_message::CameraInfo {
        width: 640,
        height: 480,
        ..ettrack_message::CameraInfo::default()
    };
    (camera.k[0], camera.k[4]) = (500.0, 500.0);
    follower.on_camera_info(camera.clone());
    let place = follower.place(&seen).unwrap();
    let depth = 2.0 * 500.0 / (128.0_f64 * 96.0).sqrt();
    assert!((place.position.z - depth).abs() < 1e-9);
    assert!((place.position.x - depth * 0.3_f64.tan()).abs() < 1e-9);
    assert_eq!((place.position.y, place.orientation[3]), (0.0, 1.0));
    assert_eq!(place.header, seen.header);
    // A rectified image has the focal lengths of the projection.
    (camera.p[0], camera.p[5]) = (400.0, 400.0);
    follower.on_camera_info(camera.clone());
    assert_eq!(follower.place(&seen).unwrap(), place, "a raw image");
    let rectified = ("image_rectified", Value::Bool(true));
    follower.set(&[rectified]).unwrap();
    let place = follower.place(&seen).unwrap();
    assert!((place.position.z - depth * 400.0 / 500.0).abs() < 1e-9);
    follower
        .set(&[("image_rectified", Value::Bool(false))])
        .unwrap();
    // The image has every other row and column of the sensor.
    (camera.binning_x, camera.binning_y) = (2, 2);
    follower.on_camera_info(camera);
    let binned = follower.place(&seen).unwrap();
    assert!((binned.position.z - depth / 2.0).abs() < 1e-9);
    for wrong in [
        TrackedTarget {
            state: TargetState::Lost,
            ..seen.clone()
        },
        TrackedTarget {
            bearing: None,
            ..seen.clone()
        },
        TrackedTarget {
            bearing: Some([0.0, 0.0, -1.0]),
            ..seen.clone()
        },
        TrackedTarget {
            bounding_box: BoundingBox2D::default(),
            ..seen.clone()
        },
    ] {
        assert_eq!(follower.place(&wrong), None, "{wrong:?}");
    }
}

#[test]
fn changes_all_settings_or_none_while_it_runs() {
    let mut follower = moving();
    follower
        .set(&[
            ("max_yaw_rate", Value::Float(0.1)),
            ("silence", Value::Integer(1)),
        ])
        .unwrap();
    let (velocities, _) = run(&mut follower, 102.0, 1.0, |now| Some(target(now, 0.4, 0.1)));
    let last = velocities[velocities.len() - 1];
    assert!(last.yaw.abs() <= 0.1 + 1e-9, "{last:?}");
    for (name, value, words) in [
        ("max_speed", Value::Float(-1.0), "0 to 50"),
        ("stamped", Value::Bool(false), "restart"),
        ("nothing", Value::Bool(false), "no parameter"),
    ] {
        let before = follower.settings().clone();
        let error = follower
            .set(&[("yaw_gain", Value::Float(3.0)), (name, value)])
            .unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(follower.settings(), &before);
    }
    // Setting the present value is accepted.
    follower.set(&[("stamped", Value::Bool(true))]).unwrap();
}
