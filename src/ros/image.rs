//! Raw images that stay in the memory of the middleware's message.

use r2r::NativeMsg;
use r2r::sensor_msgs::msg::Image as RosImage;

use ettrack_message::Transport;
use ettrack_message::{Header, Image, Stamp, ToCdr};
use ettrack_message::{HeldImage, ImageMessage};

/// A `sensor_msgs/msg/Image` as rcl delivers it. Messages as bytes from r2r would need one more copy of the pixels.
struct NativeImage(NativeMsg<RosImage>);

/// Takes ownership of an image from the subscription.
pub fn keep(message: NativeMsg<RosImage>) -> ImageMessage {
    let is_loaned = message.is_loaned;
    let image = NativeImage(message);
    if is_loaned {
        // A loaned message must be returned on the subscription's thread, so it is not kept. Today's middlewares do not loan
        // messages that contain strings.
        return ImageMessage::Cdr {
            transport: Transport::Raw,
            bytes: image.image().to_cdr(),
        };
    }
    ImageMessage::Held(Box::new(image))
}

// SAFETY: only this value refers to the message, which is a C structure, and the function that frees the message may be called
// on any thread. A loaned message has neither property, but it never leaves `keep`.
#[allow(unsafe_code)]
unsafe impl Send for NativeImage {}

impl HeldImage for NativeImage {
    fn image(&self) -> Image<'_> {
        let message = &*self.0;
        let data = if message.data.data.is_null() || is_elsewhere(&message.data) {
            &[]
        } else {
            // SAFETY: a sequence of rosidl holds `size` bytes from `data` on, and no code changes it while the
            // message is borrowed.
            #[allow(unsafe_code)]
            unsafe {
                std::slice::from_raw_parts(message.data.data, message.data.size)
            }
        };
        Image {
            header: Header {
                stamp: Stamp {
                    sec: message.header.stamp.sec,
                    nanosec: message.header.stamp.nanosec,
                },
                frame_id: message.header.frame_id.to_str().to_owned(),
            },
            height: message.height,
            width: message.width,
            encoding: message.encoding.to_str(),
            is_bigendian: message.is_bigendian != 0,
            step: message.step,
            data,
        }
    }
}

/// Bytes of a sequence's pointer, size and capacity in ROS 2.
const PLAIN: usize = 3 * size_of::<usize>();

/// Whether the data of a sequence is in the memory of another device.
///
/// From Lyrical on, a sequence of numbers has two more flags. If the first flag is set, the pointer leads to an object and not to
/// numbers. The middleware delivers such sequences only to subscriptions that ask for them. r2r does not ask. `docs/node.md`
/// names the code in which this was read.
fn is_elsewhere<T>(sequence: &T) -> bool {
    if size_of::<T>() <= PLAIN {
        return false;
    }
    // SAFETY: the byte lies inside the structure, and rosidl's functions that make a sequence set it.
    #[allow(unsafe_code)]
    let flag = unsafe { std::ptr::from_ref(sequence).cast::<u8>().add(PLAIN).read() };
    flag != 0
}

#[cfg(test)]
mod tests {
    use super::is_elsewhere;

    #[repr(C)]
    struct Until<'a>(&'a u8, usize, usize);

    #[repr(C)]
    struct FromLyrical<'a>(&'a u8, usize, usize, bool, bool);

    #[test]
    fn reads_the_flag_in_sequences_of_both_layouts() {
        assert!(!is_elsewhere(&Until(&1, 9, 9)));
        assert!(!is_elsewhere(&FromLyrical(&1, 9, 9, false, true)));
        assert!(is_elsewhere(&FromLyrical(&1, 9, 9, true, false)));
    }
}
