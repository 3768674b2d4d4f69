//! Long work that blocks, for both surfaces: whoever no longer waits for it has cancelled it.

use crate::archive::Control;
use crate::error::Result;
use crate::runtime;

/// Cancels when it goes.
struct Hold(Control);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs work on a thread for that, and waits for it. Dropping the wait cancels the work, which ends
/// soon after.
///
/// # Errors
/// Those of the work, and of [`runtime::blocking`].
pub(super) async fn blocking<T: Send + 'static>(
    control: Control,
    work: impl FnOnce(&Control) -> Result<T> + Send + 'static,
) -> Result<T> {
    let _hold = Hold(control.clone());
    runtime::blocking(move || work(&control)).await
}
