//! How handles, plain structs around a number, lead to objects.

use crate::error::Result;
use crate::runtime::Table;

/// A handle type. Each has a table of its own, and a kind in its numbers.
pub(super) trait Handle: Copy + Output {
    /// What it stands for.
    type Object: Send + Sync + 'static;
    /// The objects.
    fn table() -> &'static Table<Self::Object>;
    /// The number.
    fn id(self) -> u64;
    /// The handle of a number.
    fn of(id: u64) -> Self;

    /// Gives an object out: a handle that is the caller's to free.
    fn publish(object: Self::Object) -> Result<Self> {
        Self::table().insert(object).map(Self::of)
    }
}

/// What can be written to an output on every path.
pub(super) trait Output: Copy {
    /// What stands there where the call fails.
    const NOTHING: Self;
}

macro_rules! zero {
    ($($int:ty)*) => { $(impl Output for $int { const NOTHING: $int = 0; })* };
}
zero!(u8 u32 i32 u64 i64 usize);

/// Makes a `#[repr(C)] struct { id: u64 }` a handle of a kind, whose objects are of a type.
macro_rules! handle {
    ($handle:ident, $kind:literal, $object:ty) => {
        impl $crate::ffi::c::handle::Output for $handle {
            const NOTHING: $handle = $handle { id: 0 };
        }

        impl $crate::ffi::c::handle::Handle for $handle {
            type Object = $object;
            fn table() -> &'static $crate::runtime::Table<$object> {
                static TABLE: $crate::runtime::Table<$object> =
                    $crate::runtime::Table::new($kind, stringify!($handle));
                &TABLE
            }
            fn id(self) -> u64 {
                self.id
            }
            fn of(id: u64) -> Self {
                $handle { id }
            }
        }
    };
}
pub(super) use handle;
