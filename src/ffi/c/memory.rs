//! The caller's memory: the only place, beside the callbacks, where a pointer that came from the
//! host is followed.
//!
//! What the header asks of callers is what the safety of all this rests on: a pointer is null or
//! points to memory of its type, for as long as the call runs. What can be checked (null, the sizes
//! that structs tell of themselves) is checked.

use std::mem::MaybeUninit;

use super::bytes::wks_bytes;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::types::MessageHash;

/// Refuses null, by the name that the header gives the pointer.
///
/// # Errors
/// [`ErrorKind::NullPointer`].
pub(super) fn not_null<T>(ptr: *const T, name: &str) -> Result<()> {
    if ptr.is_null() {
        bail!(NullPointer, "{name} is null");
    }
    Ok(())
}

/// Writes to an output, if it is not null.
pub(super) fn store<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not null, so the caller's memory for a `T`, by the header's rules. What was
        // there is not dropped: outputs are plain data.
        unsafe { out.write(value) }
    }
}

/// The bytes that a caller lends for the call.
///
/// # Errors
/// [`ErrorKind::NullPointer`] for null with a length, [`ErrorKind::InvalidArgument`] for a length
/// that no memory has.
pub(super) fn borrow<'call>(bytes: wks_bytes, name: &str) -> Result<&'call [u8]> {
    if bytes.len == 0 {
        return Ok(&[]);
    }
    if bytes.ptr.is_null() {
        bail!(NullPointer, "{name} is null with a length of {}", bytes.len);
    }
    if isize::try_from(bytes.len).is_err() {
        bail!(InvalidArgument, "{name} claims a length of {}", bytes.len);
    }
    // SAFETY: not null and of a possible length: the caller's memory, lent for the call. Nothing
    // that is made of it outlives the call: every use copies.
    Ok(unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) })
}

/// [`borrow`] for text.
///
/// # Errors
/// As there, and [`ErrorKind::InvalidArgument`] where it is not UTF-8.
pub(super) fn borrow_str<'call>(bytes: wks_bytes, name: &str) -> Result<&'call str> {
    std::str::from_utf8(borrow(bytes, name)?).map_err(|e| {
        let message = format!("{name} is not UTF-8 after byte {}", e.valid_up_to());
        Error::new(ErrorKind::InvalidArgument, message)
    })
}

/// A list of bytes that a caller lends for the call.
///
/// # Errors
/// [`ErrorKind::NullPointer`] for null with a count, [`ErrorKind::InvalidArgument`] for a count that
/// no memory has.
pub(super) fn lent_list<'call>(
    at: *const wks_bytes,
    count: usize,
    name: &str,
) -> Result<&'call [wks_bytes]> {
    if count == 0 {
        return Ok(&[]);
    }
    not_null(at, name)?;
    if count > isize::MAX as usize / size_of::<wks_bytes>() {
        bail!(InvalidArgument, "{count} are more {name} than memory can hold");
    }
    // SAFETY: not null and of a possible length: the caller's array of plain data, lent for the
    // call. Nothing that is made of it outlives the call: every use copies.
    Ok(unsafe { std::slice::from_raw_parts(at, count) })
}

/// Hashes, one after the other.
///
/// # Errors
/// As [`borrow`], and [`ErrorKind::InvalidHash`] where the length is not a multiple of 32.
pub(super) fn borrow_hashes(bytes: wks_bytes, name: &str) -> Result<Vec<MessageHash>> {
    let (hashes, rest) = borrow(bytes, name)?.as_chunks::<32>();
    if !rest.is_empty() {
        bail!(
            InvalidHash,
            "{name} is {} bytes long, which is not a multiple of the 32 of a hash",
            bytes.len
        );
    }
    Ok(hashes.iter().copied().map(MessageHash).collect())
}

/// A caller-allocated struct that can grow: its first field tells its size.
///
/// # Safety
/// `#[repr(C)]`, the first field a `usize`, and all of it plain data for which any bytes are a
/// value.
pub(super) unsafe trait Record: Copy {
    /// The name, for errors.
    const NAME: &'static str;
    /// Its size in the first version of the ABI that had it.
    const FIRST_SIZE: usize;
}

/// Beyond that, a size is rather what was in uninitialised memory.
const MOST_GROWTH: usize = 4096;

/// The size that the record at `at` tells of itself.
fn size_of_record<T: Record>(at: *const T) -> Result<usize> {
    not_null(at, T::NAME)?;
    // SAFETY: not null, so a record of the caller's, whose first field is its size.
    let size = unsafe { at.cast::<usize>().read() };
    if size < T::FIRST_SIZE
        || size > size_of::<T>() + MOST_GROWTH
        || !size.is_multiple_of(align_of::<T>())
    {
        bail!(
            InvalidArgument,
            "struct_size of {} is {size}: set it to sizeof({}) before the call",
            T::NAME,
            T::NAME
        );
    }
    Ok(size)
}

/// Reads `count` records, each of the size that the first tells.
///
/// # Errors
/// [`ErrorKind::NullPointer`]; [`ErrorKind::InvalidArgument`] for sizes that cannot be or differ;
/// [`ErrorKind::Unsupported`] where a newer caller uses fields that this library does not know.
pub(super) fn read_records<T: Record>(at: *const T, count: usize) -> Result<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let size = size_of_record(at)?;
    if count > isize::MAX as usize / size {
        bail!(InvalidArgument, "{count} are more {} than memory can hold", T::NAME);
    }
    let known = size.min(size_of::<T>());
    // A count that is not true must end as an error: the sizes tell, before memory runs out.
    let mut out = Vec::with_capacity(count.min(1024));
    for i in 0..count {
        let mut record = MaybeUninit::<T>::zeroed();
        // SAFETY: the caller's array has `count` records of `size` bytes each, by the header's
        // rules; `known` bytes are in the record on both sides. Any bytes are a value of `T`,
        // and those beyond are zero.
        let (record, told, unknown) = unsafe {
            let from = at.cast::<u8>().add(i * size);
            record.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(from, known);
            let unknown = std::slice::from_raw_parts(from.add(known), size - known);
            let record = record.assume_init();
            (record, (&raw const record).cast::<usize>().read(), unknown)
        };
        if told != size {
            bail!(
                InvalidArgument,
                "struct_size of {} {i} is {told}, of the first it is {size}",
                T::NAME
            );
        }
        if unknown.iter().any(|b| *b != 0) {
            bail!(Unsupported, "{} {i} has fields that this library does not know", T::NAME);
        }
        out.push(record);
    }
    Ok(out)
}

/// [`read_records`] of one; the second form of an argument that may be left out.
///
/// # Errors
/// As there.
pub(super) fn read_record<T: Record>(at: *const T) -> Result<T> {
    read_records(at, 1)?
        .pop()
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("no {} was read", T::NAME)))
}

/// Zeroes `count` records but for their sizes, and tells the size of each.
///
/// # Errors
/// As [`read_records`].
pub(super) fn clear_record<T: Record>(out: *mut T, count: usize) -> Result<usize> {
    let size = size_of_record(out.cast_const())?;
    if count > isize::MAX as usize / size {
        bail!(InvalidArgument, "{count} are more {} than memory can hold", T::NAME);
    }
    // SAFETY: the caller's array has `count` records of `size` bytes each, by the header's rules.
    unsafe { out.cast::<u8>().write_bytes(0, size * count) };
    for i in 0..count {
        store_size(out, i, size);
    }
    Ok(size)
}

fn store_size<T: Record>(out: *mut T, index: usize, size: usize) {
    // SAFETY: record `index` lies in the array that `clear_record` saw, and `size` is a multiple
    // of its alignment.
    unsafe { out.cast::<u8>().add(index * size).cast::<usize>().write(size) }
}

/// Fills record `index` of an array that [`clear_record`] has seen; what an older caller has no
/// room for is left out.
pub(super) fn store_record<T: Record>(out: *mut T, index: usize, size: usize, value: &T) {
    let known = size.min(size_of::<T>());
    // SAFETY: record `index` of `size` bytes lies in the array that `clear_record` saw; `known`
    // bytes are in the record on both sides.
    unsafe {
        let to = out.cast::<u8>().add(index * size);
        to.copy_from_nonoverlapping(std::ptr::from_ref(value).cast::<u8>(), known);
    }
    store_size(out, index, size);
}
