# Builds the nodes and ettrack with cargo, in release mode, after this package's own messages.
#
# r2r generates its bindings from the packages in AMENT_PREFIX_PATH. This package's own messages are not installed yet
# at that time, so a small prefix in the build folder contains them: headers, libraries, and the entry in the index.
# Sets ETTRACK_NODE and ETTRACK_COMMAND_LINE.

find_program(CARGO cargo HINTS "$ENV{HOME}/.cargo/bin" REQUIRED)
execute_process(COMMAND "${CARGO}" --version OUTPUT_VARIABLE cargo_version OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" cargo_version "${cargo_version}")
if(cargo_version VERSION_LESS 1.92)
  message(FATAL_ERROR "cargo is ${cargo_version}, expected 1.92 or newer: https://rustup.rs")
endif()

set(message_prefix "${CMAKE_CURRENT_BINARY_DIR}/message_prefix")
set(message_libraries
  ${PROJECT_NAME}__rosidl_generator_c
  ${PROJECT_NAME}__rosidl_typesupport_c
  ${PROJECT_NAME}__rosidl_typesupport_introspection_c
)
set(message_files)
foreach(library ${message_libraries})
  list(APPEND message_files "$<TARGET_FILE:${library}>")
endforeach()

# Message packages for video. The node uses them if they are installed.
set(video_packages)
foreach(package ffmpeg_image_transport_msgs foxglove_msgs)
  find_package(${package} QUIET)
  if(${package}_FOUND)
    list(APPEND video_packages ${package})
  else()
    message(STATUS "${package} is not installed: the node is built without that image_transport")
  endif()
endforeach()

# Packages for which bindings are made. r2r does not add dependencies itself. It notices a changed list but not a changed
# message, so the list ends with the checksum of this package's message, which is not the name of a package.
file(SHA256 "${CMAKE_CURRENT_SOURCE_DIR}/msg/TrackedTarget.msg" message_checksum)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/msg/TrackedTarget.msg")
set(binding_packages
  builtin_interfaces diagnostic_msgs geometry_msgs rcl_interfaces rosgraph_msgs sensor_msgs service_msgs std_msgs
  std_srvs type_description_interfaces vision_msgs ${video_packages} ${PROJECT_NAME} ${message_checksum}
)

# Use the folder in which cargo builds this repository, to avoid compiling the dependencies twice.
set(ETTRACK_CARGO_TARGET "${CMAKE_CURRENT_BINARY_DIR}/cargo" CACHE PATH "where cargo builds")
set(cargo_target "${ETTRACK_CARGO_TARGET}")
# This is a script, because a custom command would treat the list's semicolons as separators.
configure_file(cmake/cargo_node.sh.in "${CMAKE_CURRENT_BINARY_DIR}/cargo_node.sh" @ONLY)

# cargo runs at every build, because it finds out itself what is out of date.
add_custom_target(${PROJECT_NAME}_cargo ALL
  COMMAND sh "${CMAKE_CURRENT_BINARY_DIR}/cargo_node.sh" ${message_files}
  WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
  DEPENDS ${message_libraries}
  USES_TERMINAL
  VERBATIM
)
set(ETTRACK_NODE
  "${cargo_target}/release/ettrack_node"
  "${cargo_target}/release/ettrack_node_process"
  "${cargo_target}/release/ettrack_follower"
)
set(ETTRACK_COMMAND_LINE "${cargo_target}/release/ettrack")
