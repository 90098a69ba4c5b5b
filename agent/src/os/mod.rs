//! The one room of the agent where the operating system is spoken to directly.
#![allow(unsafe_code)]

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
