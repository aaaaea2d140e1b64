# Installs the ONNX Runtime library beside the node, from the Python package `onnxruntime`. With
# -DETTRACK_ONNXRUNTIME=FILE that file is installed, with -DETTRACK_ONNXRUNTIME=system none.

set(ETTRACK_ONNXRUNTIME "" CACHE STRING "libonnxruntime.so to install, or 'system' for none; empty: fetched")
if(ETTRACK_ONNXRUNTIME STREQUAL "")
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  set(onnxruntime_folder "${CMAKE_CURRENT_BINARY_DIR}/onnxruntime")
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" scripts/onnxruntime.py "${onnxruntime_folder}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    RESULT_VARIABLE failed
  )
  if(failed)
    message(FATAL_ERROR "ONNX Runtime could not be fetched; without a network, give -DETTRACK_ONNXRUNTIME=FILE")
  endif()
  install(DIRECTORY "${onnxruntime_folder}/" DESTINATION lib/${PROJECT_NAME}/onnxruntime
    FILES_MATCHING PATTERN "libonnxruntime*" PATTERN "*LICENSE*" PATTERN "*ThirdParty*")
elseif(NOT ETTRACK_ONNXRUNTIME STREQUAL "system")
  if(NOT EXISTS "${ETTRACK_ONNXRUNTIME}")
    message(FATAL_ERROR "ETTRACK_ONNXRUNTIME is ${ETTRACK_ONNXRUNTIME}, expected the path of libonnxruntime.so or 'system'")
  endif()
  get_filename_component(onnxruntime_file "${ETTRACK_ONNXRUNTIME}" REALPATH)
  install(FILES "${onnxruntime_file}" DESTINATION lib/${PROJECT_NAME}/onnxruntime)
endif()
