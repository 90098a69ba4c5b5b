//! The one room of the agent where the operating system is spoken to directly: about memory, so far.
#![allow(unsafe_code)]

/// Tells the allocator to keep little: few arenas, and large blocks that go back to the system when they are freed.
///
/// To be called once, before threads are made.
pub fn keep_little_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // From glibc's malloc.h: the trim threshold, the mmap threshold, the most arenas.
        for (parameter, value) in [(-1, 128 << 10), (-3, 128 << 10), (-8, 2)] {
            // SAFETY: glibc's mallopt takes two numbers and only changes how later allocations are served.
            let _ = unsafe { mallopt(parameter, value) };
        }
    }
}

/// Gives memory that was freed back to the system: a model leaves tens of megabytes that the allocator would keep.
pub fn return_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: glibc's malloc_trim takes no pointers, may be called at any time from any thread, and only returns unused pages.
        let _ = unsafe { malloc_trim(0) };
    }
}

/// Lets go of the pages of constant bytes in the program; they are read from its file again when they are needed.
pub fn release_pages(constant: &'static [u8]) {
    let page = rustix::param::page_size();
    let begin = constant.as_ptr() as usize;
    let (first, end) = (begin.next_multiple_of(page), (begin + constant.len()) / page * page);
    if first >= end {
        return;
    }
    let pages = constant[first - begin..].as_ptr().cast_mut().cast();
    // SAFETY: the range is whole pages within a constant of the program, which is mapped privately from its file and never
    // written; dropping such pages changes nothing that can be read.
    let _ = unsafe { rustix::mm::madvise(pages, end - first, rustix::mm::Advice::LinuxDontNeed) };
}

#[cfg(test)]
mod tests {
    use super::*;

    static CONSTANT: [u8; 64 << 10] = [7; 64 << 10];

    #[test]
    fn released_pages_read_the_same() {
        release_pages(&CONSTANT);
        assert!(CONSTANT.iter().all(|byte| *byte == 7));
        release_pages(&CONSTANT[..100]);
        return_memory();
    }
}
