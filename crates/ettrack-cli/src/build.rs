//! What this program was built with.

macro_rules! with_simd {
    () => {
        "libjpeg-turbo with SIMD instructions"
    };
}

macro_rules! without_simd {
    () => {
        "libjpeg-turbo without SIMD instructions (on x86, build with nasm installed for them)"
    };
}

/// The JPEG decoder, and whether it uses vector instructions.
pub fn jpeg_decoder() -> &'static str {
    if ettrack_picture::jpeg_has_simd() {
        with_simd!()
    } else {
        without_simd!()
    }
}

/// The version and the JPEG decoder, for `--version`.
pub fn description() -> &'static str {
    if ettrack_picture::jpeg_has_simd() {
        concat!(env!("CARGO_PKG_VERSION"), "\nJPEG decoder: ", with_simd!())
    } else {
        concat!(
            env!("CARGO_PKG_VERSION"),
            "\nJPEG decoder: ",
            without_simd!()
        )
    }
}
