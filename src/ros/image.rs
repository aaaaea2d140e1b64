//! Raw images in the memory of the middleware's own message.

use r2r::NativeMsg;
use r2r::sensor_msgs::msg::Image as RosImage;

use ettrack_message::Transport;
use ettrack_message::{Header, Image, Stamp, ToCdr};
use ettrack_message::{HeldImage, ImageMessage};

/// A `sensor_msgs/msg/Image` as rcl delivers it. r2r's messages as bytes would need one more copy of the pixels.
struct NativeImage(NativeMsg<RosImage>);

/// Takes an image over from the subscription.
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

// SAFETY: the message is a C structure that this value alone refers to, and what frees it is a plain function that may
// be called on any thread; a loaned message, for which neither holds, never leaves `keep`.
#[allow(unsafe_code)]
unsafe impl Send for NativeImage {}

impl HeldImage for NativeImage {
    fn image(&self) -> Image<'_> {
        let message = &*self.0;
        let data = if message.data.data.is_null() || is_elsewhere(&message.data) {
            &[]
        } else {
            // SAFETY: a sequence of rosidl holds `size` bytes from `data` on, and nobody changes it while the
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

/// Where a sequence of ROS 2 keeps its pointer, its size and its capacity.
const PLAIN: usize = 3 * size_of::<usize>();

/// Whether a sequence stands for memory of another device.
///
/// From Lyrical on, a sequence of numbers is longer by two flags, the first of which says so: the pointer then leads to an
/// object and not to numbers. The middleware gives such sequences only to who asks for them, which r2r does not.
fn is_elsewhere<T>(sequence: &T) -> bool {
    if size_of::<T>() <= PLAIN {
        return false;
    }
    // SAFETY: the byte lies inside of the structure, which rosidl initialises as a whole.
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
    fn sequences_of_both_layouts_are_read_by_their_flag() {
        assert!(!is_elsewhere(&Until(&1, 9, 9)));
        assert!(!is_elsewhere(&FromLyrical(&1, 9, 9, false, true)));
        assert!(is_elsewhere(&FromLyrical(&1, 9, 9, true, false)));
    }
}
