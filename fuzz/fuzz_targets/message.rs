//! Any bytes as any message, and through to the pixels.
#![no_main]

use ettrack::frame::ImageBuffer;
use ettrack_message::*;
use libfuzzer_sys::fuzz_target;

/// What is read is written and read again as the same, in both byte orders.
fn again<'a, M: FromCdr<'a> + ToCdr>(data: &'a [u8]) -> Option<M> {
    let message = M::from_cdr(data).ok()?;
    let mut big = CdrWriter::big_endian();
    message.write(&mut big);
    assert_eq!(big.into_bytes().len(), message.to_cdr().len());
    Some(message)
}

fuzz_target!(|input: (bool, Vec<u8>)| {
    let (big_endian, mut data) = input;
    // Most of the time a header that is read, so that the rest is reached.
    if data.len() >= 4 && data[0] < 250 {
        data[..4].copy_from_slice(&[0, u8::from(!big_endian), 0, 0]);
    }
    if let Some(image) = again::<Image<'_>>(&data)
        && let Ok(frame) = image.frame()
        && frame.width() < 4096
    {
        let mut rgb = Vec::new();
        frame.to_rgb8(&mut rgb);
        assert_eq!(
            rgb.len(),
            frame.width() as usize * frame.height() as usize * 3
        );
    }
    if let Some(image) = again::<CompressedImage<'_>>(&data) {
        let mut pixels = ImageBuffer::empty();
        if image.decode_into(&mut pixels).is_ok() {
            // A picture may be too small for its mosaic; no other reason is left.
            let _ = pixels.frame();
        }
    }
    again::<RegionOfInterest>(&data);
    again::<CameraInfo>(&data);
    again::<Detection2D>(&data);
    again::<Detection2DArray>(&data);
    again::<DiagnosticArray>(&data);
    again::<TrackedTarget>(&data);
    again::<FfmpegPacket<'_>>(&data);
    again::<CompressedVideo<'_>>(&data);
    again::<PointStamped>(&data);
    again::<PoseStamped>(&data);
    // The same bytes as a picture file.
    let _ = ettrack_picture::decode_into(&data, &mut ImageBuffer::empty());
});
