//! The short numbers that the processor can compute with.

use std::fmt;

/// The instructions that a precision may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Processor {
    /// Whether it is a 64-bit ARM processor.
    pub is_arm: bool,
    /// Products of bf16 numbers: AVX512_BF16 (every processor with AMX has it) or ARM's bf16.
    pub bf16: bool,
    /// Half precision: AVX512_FP16 or ARM's fphp.
    pub f16: bool,
}

impl Processor {
    /// Returns the processor of this machine.
    pub fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        let (is_arm, bf16, f16) = (
            false,
            std::arch::is_x86_feature_detected!("avx512bf16"),
            std::arch::is_x86_feature_detected!("avx512fp16"),
        );
        #[cfg(target_arch = "aarch64")]
        let (is_arm, bf16, f16) = (
            true,
            std::arch::is_aarch64_feature_detected!("bf16"),
            std::arch::is_aarch64_feature_detected!("fp16"),
        );
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let (is_arm, bf16, f16) = (false, false, false);
        Self { is_arm, bf16, f16 }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |has: bool| if has { "with" } else { "without" };
        write!(
            formatter,
            "{} {} bf16 and {} half precision",
            std::env::consts::ARCH,
            with(self.bf16),
            with(self.f16)
        )
    }
}
