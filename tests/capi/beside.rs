//! Another Rust static library, for beside.c.

/// 1 + 2 + … + n, by way of the allocator and of a caught panic.
#[unsafe(no_mangle)]
pub extern "C" fn other_rust_sum(n: i32) -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| panic!("of the other library"));
    if caught.is_ok() { -1 } else { (1..=n).collect::<Vec<_>>().iter().sum() }
}
