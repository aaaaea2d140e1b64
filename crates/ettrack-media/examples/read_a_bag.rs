//! Lists the topics of a rosbag2 bag and reads the images of its image topic, without ROS.
//!
//! ```sh
//! cargo run --release -p ettrack-media --example read_a_bag -- flight
//! ```

use std::error::Error;
use std::path::Path;

use ettrack::frame::ImageBuffer;
use ettrack_bag::{Bag, image_topic};
use ettrack_message::read_image;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: read_a_bag BAG")?;
    let path = Path::new(&path);
    let bag = Bag::open(path)?;
    println!("topics: {}", bag.topic_list());

    // The only topic of images; a bag with several needs its name as the last argument.
    let (topic, transport) = image_topic(&bag, path, None)?;
    let mut messages = bag.messages(&[&topic])?;
    let mut image = ImageBuffer::empty();
    let mut frames = 0;
    while let Some(message) = messages.next_message() {
        match read_image(transport, message.data, &mut image) {
            Ok(header) if frames == 0 => println!(
                "first image: {}x{} {}, {} ns, frame_id {:?}",
                image.width,
                image.height,
                image.encoding.ros_name(),
                header.stamp.as_nanoseconds(),
                header.frame_id
            ),
            Ok(_) => {}
            // A damaged image does not stop the reader.
            Err(error) => eprintln!("image {frames}: {}", ettrack::error_chain(&error)),
        }
        frames += 1;
    }
    println!("{frames} images on {topic}");
    for damage in messages.damage() {
        eprintln!("missing: {damage}");
    }
    Ok(())
}
