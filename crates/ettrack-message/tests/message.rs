//! Messages are read back as they were written, and no bytes make a decoder panic.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use ettrack_message::*;
use proptest::prelude::*;

fn header() -> impl Strategy<Value = Header> {
    (any::<i32>(), 0..1_000_000_000_u32, "[a-z_/]{0,20}").prop_map(|(sec, nanosec, frame_id)| {
        Header {
            stamp: Stamp { sec, nanosec },
            frame_id,
        }
    })
}

fn bounding_box() -> impl Strategy<Value = BoundingBox2D> {
    (-1e4..1e4, -1e4..1e4, -3.0..3.0, 0.0..1e4, 0.0..1e4).prop_map(
        |(center_x, center_y, theta, size_x, size_y)| BoundingBox2D {
            center_x,
            center_y,
            theta,
            size_x,
            size_y,
        },
    )
}

fn detection() -> impl Strategy<Value = Detection2D> {
    let hypothesis =
        ("[a-z]{0,9}", 0.0..1.0).prop_map(|(class_id, score)| Hypothesis { class_id, score });
    (
        header(),
        prop::collection::vec(hypothesis, 0..3),
        bounding_box(),
        "[a-z0-9]{0,5}",
    )
        .prop_map(|(header, results, bbox, id)| Detection2D {
            header,
            results,
            bbox,
            id,
        })
}

/// Writes in both byte orders and reads back.
fn round_trip<'a, M>(message: &M, keep: &'a mut Vec<Vec<u8>>)
where
    M: ToCdr + FromCdr<'a> + PartialEq + std::fmt::Debug,
{
    let mut big = CdrWriter::big_endian();
    message.write(&mut big);
    keep.extend([message.to_cdr(), big.into_bytes()]);
    for bytes in keep.iter() {
        assert_eq!(&M::from_cdr(bytes).unwrap(), message);
        // A message cut anywhere is an error, not a shorter message.
        for length in 0..bytes.len() {
            M::from_cdr(&bytes[..length]).unwrap_err();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn images_are_read_back(header in header(), width in 0..9_u32, height in 0..9_u32, bytes in prop::collection::vec(any::<u8>(), 1..99)) {
        let image = Image { header: header.clone(), height, width, encoding: "bgr8", is_bigendian: width > 4, step: 3 * width, data: &bytes };
        round_trip(&image, &mut Vec::new());
        round_trip(&CompressedImage { header, format: "bgr8; jpeg compressed bgr8", data: &bytes }, &mut Vec::new());
    }

    #[test]
    fn detections_are_read_back(header in header(), detections in prop::collection::vec(detection(), 0..3)) {
        for detection in &detections {
            round_trip(detection, &mut Vec::new());
        }
        round_trip(&Detection2DArray { header, detections }, &mut Vec::new());
    }

    #[test]
    fn targets_are_read_back(header in header(), bounding_box in bounding_box(), confidence in 0.0..1.0_f32, bearing in prop::option::of([-1.0..1.0, -1.0..1.0, -1.0..1.0])) {
        let target = TrackedTarget { header, target_id: "7".into(), state: TargetState::Lost, bounding_box, confidence, offset_x: -0.5, offset_y: 0.25, bearing };
        round_trip(&target, &mut Vec::new());
    }

    #[test]
    fn all_other_messages_are_read_back(header in header(), d in prop::collection::vec(-1.0..1.0, 0..9), numbers in any::<[u32; 4]>()) {
        let [x_offset, y_offset, height, width] = numbers;
        let roi = RegionOfInterest { x_offset, y_offset, height, width, do_rectify: height > width };
        round_trip(&roi, &mut Vec::new());
        round_trip(&CameraInfo { header: header.clone(), height, width, distortion_model: "plumb_bob".into(), d, k: [1.5; 9], r: [0.5; 9], p: [2.5; 12], binning_x: 2, binning_y: 1, roi }, &mut Vec::new());
        let status = DiagnosticStatus { level: DiagnosticLevel::Warn, name: "a: b".into(), message: "c".into(), hardware_id: String::new(), values: vec![("k".into(), "v".into()), (String::new(), String::new())] };
        round_trip(&DiagnosticArray { header, status: vec![status.clone(), status] }, &mut Vec::new());
    }

    #[test]
    fn packets_points_and_poses_are_read_back(header in header(), bytes in prop::collection::vec(any::<u8>(), 1..99), pts: u64, numbers in any::<[i32; 2]>(), place in any::<[f32; 3]>()) {
        let [width, height] = numbers;
        let packet = FfmpegPacket { header: header.clone(), width, height, encoding: "libx264;yuv420p", pts, flags: 1, is_bigendian: false, data: &bytes };
        round_trip(&packet, &mut Vec::new());
        let video = CompressedVideo { header: header.clone(), data: &bytes, format: "h265" };
        round_trip(&video, &mut Vec::new());
        for (transport, message, codec, number) in [(Transport::Ffmpeg, packet.to_cdr(), "libx264", Some(pts)), (Transport::Foxglove, video.to_cdr(), "h265", None)] {
            let told = transport.packet(&message).unwrap().unwrap();
            prop_assert_eq!((&told.header, told.codec, told.number, told.data), (&header, codec, number, bytes.as_slice()));
            prop_assert_eq!(transport.header(&message).unwrap(), header.clone());
        }
        let [x, y, z] = place.map(|value| if value.is_nan() { 0.0 } else { f64::from(value) });
        let point = Point { x, y, z };
        round_trip(&point, &mut Vec::new());
        round_trip(&PointStamped { header: header.clone(), point }, &mut Vec::new());
        round_trip(&PoseStamped { header, position: point, orientation: [0.0, 0.0, 0.0, 1.0] }, &mut Vec::new());
    }

    #[test]
    fn random_bytes_never_panic(big_endian: bool, mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut message = vec![0, u8::from(!big_endian), 0, 0];
        message.append(&mut bytes);
        let _ = Image::from_cdr(&message);
        let _ = CompressedImage::from_cdr(&message);
        let _ = RegionOfInterest::from_cdr(&message);
        let _ = CameraInfo::from_cdr(&message);
        let _ = Detection2D::from_cdr(&message);
        let _ = Detection2DArray::from_cdr(&message);
        let _ = DiagnosticArray::from_cdr(&message);
        let _ = TrackedTarget::from_cdr(&message);
        let _ = PointStamped::from_cdr(&message);
        let _ = PoseStamped::from_cdr(&message);
        let _ = Transport::Ffmpeg.packet(&message);
        let _ = Transport::Foxglove.packet(&message);
    }
}

#[test]
fn each_type_has_its_definition() {
    for name in [
        Image::TYPE,
        CompressedImage::TYPE,
        RegionOfInterest::TYPE,
        CameraInfo::TYPE,
        Detection2D::TYPE,
        Detection2DArray::TYPE,
        DiagnosticArray::TYPE,
        TrackedTarget::TYPE,
        FfmpegPacket::TYPE,
        CompressedVideo::TYPE,
        PointStamped::TYPE,
        PoseStamped::TYPE,
    ] {
        assert!(definition(name).is_some(), "{name}");
        assert!(type_names().any(|known| known == name), "{name}");
    }
}

#[test]
fn a_depth_image_is_refused_by_name() {
    for format in ["16UC1; compressedDepth png", "32FC1; compressedDepth rvl"] {
        let image = CompressedImage {
            header: Header::default(),
            format,
            data: &[0; 20],
        };
        let message = ImageMessage::Cdr {
            transport: Transport::Compressed,
            bytes: image.to_cdr(),
        };
        let mut pixels = ettrack::frame::ImageBuffer::empty();
        let error = message.read(&mut pixels).unwrap_err();
        assert!(error.to_string().contains("depth image"), "{error}");
        assert!(error.to_string().contains(format), "{error}");
    }
}
