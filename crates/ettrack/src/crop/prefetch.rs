//! Loads source pixels from memory before they are needed. In a large frame each row lies in another page, so the processor
//! does not do this by itself.

/// Bytes that a processor loads from memory at once.
const LINE: usize = 64;

/// Bytes of two rows that leave room for the next ones in the first cache.
const NEAR: usize = 4096;

/// How far ahead rows are loaded, and into which cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// One output row, into the first cache.
    Near,
    /// Several output rows, into the second cache: loading rows of this length takes longer than the work on one output row,
    /// and the first cache does not hold several of them.
    Far,
}

impl Ahead {
    /// For rows of which `bytes` are read.
    pub fn of(bytes: usize) -> Self {
        if 2 * bytes <= NEAR {
            Self::Near
        } else {
            Self::Far
        }
    }

    /// Output rows from the present one to the one that is loaded.
    pub fn rows(self) -> usize {
        match self {
            Self::Near => 1,
            Self::Far => 4,
        }
    }

    /// Makes the processor load bytes `from` to `to` of both rows. Returns from where to go on.
    #[cfg_attr(target_arch = "x86_64", allow(unsafe_code))]
    #[inline(always)]
    pub fn load(self, rows: [&[u8]; 2], mut from: usize, to: usize) -> usize {
        while from < to {
            #[cfg(target_arch = "x86_64")]
            for row in rows {
                use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
                let at = row.as_ptr().wrapping_add(from).cast();
                // Newer versions of the standard library need no `unsafe` here.
                #[allow(unused_unsafe)]
                // SAFETY: the instruction accepts every address and reads nothing that the program sees.
                unsafe {
                    match self {
                        Self::Near => _mm_prefetch::<_MM_HINT_T0>(at),
                        Self::Far => _mm_prefetch::<_MM_HINT_T1>(at),
                    }
                }
            }
            // The standard library has no stable function for other processors.
            #[cfg(not(target_arch = "x86_64"))]
            let _ = rows;
            from += LINE;
        }
        from
    }
}
