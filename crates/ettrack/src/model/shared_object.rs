//! Checks the file of a shared library before the dynamic linker maps it.
//!
//! The linker maps a file that was cut without an error. The process then dies by a signal as soon as it reads behind the
//! file's end. So the length is compared with the file's header, and the processor with that of this process.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// ELF's number of this process's processor, if it is known here.
const MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else {
    None
};

/// Length of the header of a 64-bit ELF file, and of the description of a segment.
const HEADER: usize = 64;
const SEGMENT: usize = 56;

/// Returns the reason why this process cannot load the library, or `None` if its header shows no fault. Files that are
/// not 64-bit little-endian ELF files are not judged.
pub(super) fn fault(file: &Path) -> Option<String> {
    judge(File::open(file).ok()?)
}

fn judge(mut file: impl Read + Seek) -> Option<String> {
    const ELF_64_LITTLE: &[u8] = b"\x7fELF\x02\x01";
    let mut header = [0; HEADER];
    file.read_exact(&mut header).ok()?;
    if !header.starts_with(ELF_64_LITTLE) {
        return None;
    }
    let machine = u16_at(&header, 18);
    if let Some(own) = MACHINE
        && machine != own
    {
        return Some(format!(
            "it was built for another processor (ELF machine {machine}, expected {own})"
        ));
    }
    let length = file.seek(SeekFrom::End(0)).ok()?;
    let cut = |end: u64| format!("it is cut: it has {length} bytes, expected {end}");
    let sections = u64::from(u16_at(&header, 58)) * u64::from(u16_at(&header, 60));
    let mut end = u64_at(&header, 40).saturating_add(sections);
    // Tools that change a finished library append segments behind its table of sections.
    let mut segments = vec![0; SEGMENT * usize::from(u16_at(&header, 56))];
    let start = u64_at(&header, 32);
    let there = file.seek(SeekFrom::Start(start));
    if there.is_err() || file.read_exact(&mut segments).is_err() {
        return Some(cut(start.saturating_add(segments.len() as u64)));
    }
    for segment in segments.chunks_exact(SEGMENT) {
        end = end.max(u64_at(segment, 8).saturating_add(u64_at(segment, 32)));
    }
    (length < end).then(|| cut(end))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A library of 1200 bytes for `machine`: the table of sections ends at byte 1000, the only segment at byte 1200.
    fn library(machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 1200];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, b"\x7fELF\x02\x01");
        put(18, &machine.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(40, &360_u64.to_le_bytes());
        put(56, &1_u16.to_le_bytes());
        put(58, &64_u16.to_le_bytes());
        put(60, &10_u16.to_le_bytes());
        put(64 + 8, &1100_u64.to_le_bytes());
        put(64 + 32, &100_u64.to_le_bytes());
        bytes
    }

    #[test]
    fn a_cut_library_and_one_for_another_processor_have_a_fault() {
        let Some(own) = MACHINE else { return };
        let judge = |bytes: &[u8]| judge(Cursor::new(bytes));
        let whole = library(own);
        assert_eq!(judge(&whole), None);
        for length in [64, 100, 999, 1199] {
            let said = judge(&whole[..length]).expect("a cut library");
            let words = format!("it is cut: it has {length} bytes, expected ");
            assert!(said.starts_with(&words), "{said}");
        }
        let other = judge(&library(42)).expect("another processor");
        let expected = format!("another processor (ELF machine 42, expected {own})");
        assert!(other.contains(&expected), "{other}");
        for field in [32, 40, 64 + 8] {
            let mut far = whole.clone();
            far[field..field + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            assert!(judge(&far).is_some(), "an end that overflows: byte {field}");
        }
    }

    #[test]
    fn files_of_other_formats_are_not_judged() {
        assert_eq!(judge(Cursor::new([0; HEADER])), None);
        assert_eq!(judge(Cursor::new([])), None);
        assert_eq!(fault(Path::new("nowhere.so")), None);
        // The running program has no fault.
        let program = std::env::current_exe().expect("a program");
        assert_eq!(fault(&program), None);
    }
}
