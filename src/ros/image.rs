//! Raw images in the memory of the middleware's own message.

use r2r::NativeMsg;
use r2r::sensor_msgs::msg::Image as RosImage;

use ettrack_message::Transport;
use ettrack_message::{Header, Image, Stamp, ToCdr};
use ettrack_message::{HeldImage, ImageMessage};

/// A `sensor_msgs/msg/Image` as rcl delivers it. r2r's byte messages would copy the pixels once more.
struct NativeImage(NativeMsg<RosImage>);

/// Takes an image over from the subscription.
pub fn keep(message: NativeMsg<RosImage>) -> ImageMessage {
    let is_loaned = message.is_loaned;
    let image = NativeImage(message);
    if is_loaned {
        // A loan has to be given back on the thread of the subscription. Today's middlewares lend no message that
        // has strings in it.
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
        let data = if message.data.data.is_null() {
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
