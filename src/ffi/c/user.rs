//! What a host hands over with a callback: a pointer, and how to let it go.

use std::ffi::c_void;

/// Lets go of what a `void *user` points to. Called exactly once for each that was handed over,
/// also where handing it over failed; on the thread that lets go, never under a lock of the
/// library. Null where there is nothing to let go of.
pub type wks_drop = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// The host's data. Dropping it calls the host's drop function.
pub(super) struct UserData {
    user: *mut c_void,
    drop: wks_drop,
}

// SAFETY: the header demands that what is handed over may be used from any thread, by one at a
// time (a wake hook's from its dispatcher alone).
unsafe impl Send for UserData {}
// SAFETY: as above; the library itself never reads what the pointer points to.
unsafe impl Sync for UserData {}

impl UserData {
    pub(super) fn new(user: *mut c_void, drop: wks_drop) -> Self {
        UserData { user, drop }
    }

    /// The pointer, for a call of the host's.
    pub(super) fn ptr(&self) -> *mut c_void {
        self.user
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the function came with this pointer, and is called here once.
            unsafe { drop(self.user) }
        }
    }
}
