//! What ROS 2 reads of a command line.

/// The flags between `--ros-args` and `--` that take a value, with it, in their order.
pub fn ros_arguments(
    arguments: impl IntoIterator<Item = String>,
) -> impl Iterator<Item = (String, String)> {
    const WITH_VALUE: [&str; 5] = ["-r", "--remap", "-p", "--param", "--params-file"];
    let mut arguments = arguments.into_iter();
    let mut for_ros = false;
    std::iter::from_fn(move || {
        loop {
            let argument = arguments.next()?;
            match argument.as_str() {
                "--ros-args" => for_ros = true,
                "--" => for_ros = false,
                flag if for_ros && WITH_VALUE.contains(&flag) => {
                    return Some((argument, arguments.next()?));
                }
                _ => {}
            }
        }
    })
}
