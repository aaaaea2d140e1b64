//! The part of a command line that ROS 2 reads.

/// Each flag between `--ros-args` and `--` that takes a value, together with its value, in the order of the command line.
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
