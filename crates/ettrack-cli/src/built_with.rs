//! What this program was built with.

use std::sync::LazyLock;

/// The JPEG decoder, and whether it uses vector instructions.
pub fn jpeg_decoder() -> &'static str {
    if ettrack_picture::jpeg_has_simd() {
        "libjpeg-turbo with SIMD instructions"
    } else {
        "libjpeg-turbo without SIMD instructions (on x86, build with nasm installed for them)"
    }
}

/// The version and the JPEG decoder, for `--version`.
pub fn description() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        format!("{version}\nJPEG decoder: {}", jpeg_decoder())
    });
    &TEXT
}
