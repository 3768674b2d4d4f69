//! SQLite on disks in memory: a file system of SQLite's own (a VFS), made the default of this
//! process. A path lies on the disk that is mounted at its directory.
//!
//! It does what SQLite's own VFS for unix does where that matters to a power loss: a journal or WAL
//! that was opened to be created syncs its directory with its first sync; a device writes no byte
//! beside those it was told to.
//!
//! `unsafe` is here because a VFS is a table of C functions. What must hold: SQLite gives each of
//! them a file that `open` filled in and `close` has not yet emptied, or a name that ends with a
//! zero, as its documentation says.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering, fence};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use rusqlite::ffi;

use super::disk::{Disk, Files, Inode, Op, Trouble};
use super::seed::Seed;

static DISKS: Mutex<Option<HashMap<PathBuf, Arc<Computer>>>> = Mutex::new(None);
/// Keeps the numbers that SQLite draws (salts of the WAL) to the seed.
static RANDOM: Mutex<Option<Seed>> = Mutex::new(None);

/// A disk in use, with what is lost when it is not: locks and shared memory.
struct Computer {
    disk: Arc<Disk>,
    shared: Mutex<HashMap<Inode, Shared>>,
}

/// What connections to one file share.
#[derive(Default)]
struct Shared {
    readers: u32,
    reserved: bool,
    pending: bool,
    exclusive: bool,
    memory: Vec<Box<[u64]>>,
    /// Of each lock of the shared memory: how many share it, or -1.
    slots: [i32; ffi::SQLITE_SHM_NLOCK as usize],
    mapped: u32,
}

/// A disk that is mounted at a directory (which exists: the driver makes the file itself).
pub struct Mounted {
    dir: tempfile::TempDir,
    pub disk: Arc<Disk>,
}

impl Mounted {
    pub fn new(files: Files) -> Self {
        install();
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::with(files);
        let computer = Arc::new(Computer { disk: disk.clone(), shared: Mutex::default() });
        lock(&DISKS).get_or_insert_default().insert(dir.path().to_owned(), computer);
        Mounted { dir, disk }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("archive.db")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        lock(&DISKS).get_or_insert_default().remove(self.dir.path());
    }
}

/// What SQLite draws from here on follows from this seed, as long as one test runs.
pub fn seed_sqlite(seed: u64) {
    install();
    *lock(&RANDOM) = Some(Seed::new(seed));
    // SAFETY: with no bytes wanted it only forgets its state.
    unsafe { ffi::sqlite3_randomness(0, std::ptr::null_mut()) };
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: 1024,
            pNext: std::ptr::null_mut(),
            zName: c"disks".as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: None,
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the table stays for ever.
        assert_eq!(unsafe { ffi::sqlite3_vfs_register(vfs, 1) }, ffi::SQLITE_OK);
    });
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_file),
    xUnlock: Some(unlock_file),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// From `Box::into_raw`; `close` takes it back.
    handle: *mut Handle,
}

struct Handle {
    computer: Arc<Computer>,
    inode: Inode,
    level: c_int,
    /// The directory is synced with the first sync.
    sync_directory: bool,
    delete: Option<String>,
    shared: u32,
    exclusive: u32,
    mapped: bool,
}

/// # Safety
/// `file` is what SQLite passes: opened and not yet closed, and no other thread uses it.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: see above; `open` put the handle there.
    unsafe { &mut *(*file.cast::<File>()).handle }
}

/// # Safety
/// `name` ends with a zero.
unsafe fn place(name: *const c_char) -> Option<(Arc<Computer>, String)> {
    // SAFETY: see above.
    let path = Path::new(unsafe { CStr::from_ptr(name) }.to_str().ok()?);
    let computer = lock(&DISKS).as_ref()?.get(path.parent()?)?.clone();
    Some((computer, path.file_name()?.to_str()?.to_owned()))
}

fn code(result: Result<(), Trouble>, io: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(Trouble::Full) => ffi::SQLITE_FULL,
        Err(Trouble::Io) => io,
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room for a File; without methods it will not be closed.
    unsafe { (*file).pMethods = std::ptr::null() };
    let found = if name.is_null() {
        let computer = Computer { disk: Disk::with(Files::new()), shared: Mutex::default() };
        Some((Arc::new(computer), "temporary".to_owned()))
    } else {
        // SAFETY: a name ends with a zero.
        unsafe { place(name) }
    };
    let Some((computer, name)) = found else { return ffi::SQLITE_CANTOPEN };
    let journal =
        ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL;
    let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let mut state = computer.disk.lock();
    let inode = match state.names.get(&name) {
        Some(inode) => *inode,
        // The driver makes the archive's file itself, empty.
        None if create || flags & ffi::SQLITE_OPEN_MAIN_DB != 0 => {
            if let Err(trouble) = state.change() {
                return code(Err(trouble), ffi::SQLITE_CANTOPEN);
            }
            state.create(&name)
        }
        None => return ffi::SQLITE_CANTOPEN,
    };
    drop(state);
    let delete = (flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0).then_some(name);
    let handle = Box::new(Handle {
        computer,
        inode,
        level: ffi::SQLITE_LOCK_NONE,
        sync_directory: create && flags & journal != 0,
        delete,
        shared: 0,
        exclusive: 0,
        mapped: false,
    });
    // SAFETY: SQLite gives room for a File, and for the flags where it wants them.
    unsafe {
        (*file.cast::<File>()).handle = Box::into_raw(handle);
        (*file).pMethods = &METHODS;
        if !out.is_null() {
            *out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` made it of a Box, and SQLite closes once.
    let mut handle = unsafe { Box::from_raw((*file.cast::<File>()).handle) };
    handle.unmap();
    handle.unlock(ffi::SQLITE_LOCK_NONE);
    if let Some(name) = &handle.delete {
        handle.computer.disk.lock().delete(name);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    directory: c_int,
) -> c_int {
    // SAFETY: a name ends with a zero.
    let Some((computer, name)) = (unsafe { place(name) }) else { return ffi::SQLITE_IOERR_DELETE };
    let mut state = computer.disk.lock();
    if let Err(trouble) = state.change() {
        return code(Err(trouble), ffi::SQLITE_IOERR_DELETE);
    }
    if !state.delete(&name) {
        return ffi::SQLITE_IOERR_DELETE_NOENT;
    }
    if directory != 0 {
        state.log.push(Op::SyncDirectory);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a name ends with a zero, and there is room for the answer. As on unix, an empty file
    // does not exist.
    unsafe {
        *out = c_int::from(place(name).is_some_and(|(computer, name)| {
            let state = computer.disk.lock();
            state.names.get(&name).is_some_and(|inode| !state.contents[*inode].is_empty())
        }));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a name ends with a zero; what is copied fits.
    unsafe {
        let length = CStr::from_ptr(name).to_bytes_with_nul().len();
        if length > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(name, out, length);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    let bytes = lock(&RANDOM).get_or_insert_with(|| Seed::new(0)).bytes(count as usize);
    // SAFETY: there is room for as many bytes as are wanted.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len()) };
    count
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    std::thread::sleep(Duration::from_micros(micros as u64));
    micros
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    static TIME: AtomicI64 = AtomicI64::new(212_000_000_000_000);
    // SAFETY: there is room for the answer.
    unsafe { *out = TIME.fetch_add(1, Ordering::Relaxed) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: *mut c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = handle.computer.disk.lock();
    if state.read().is_err() {
        return ffi::SQLITE_IOERR_READ;
    }
    let content = &state.contents[handle.inode];
    let (length, at) = (length as usize, (at as usize).min(content.len()));
    let there = length.min(content.len() - at);
    // SAFETY: there is room for `length` bytes; of a short read the rest is to be zeros.
    unsafe {
        std::ptr::copy_nonoverlapping(content[at..].as_ptr(), out.cast::<u8>(), there);
        std::ptr::write_bytes(out.cast::<u8>().add(there), 0, length - there);
    }
    if there == length { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: the file is open, and there are so many bytes.
    let (handle, bytes) =
        unsafe { (handle(file), std::slice::from_raw_parts(bytes.cast(), length as usize)) };
    let result = handle.computer.disk.lock().write(handle.inode, at as usize, bytes);
    code(result, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let result = handle.computer.disk.lock().truncate(handle.inode, length as usize);
    code(result, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let mut state = handle.computer.disk.lock();
    let result = state.sync(handle.inode);
    if result.is_ok() && std::mem::take(&mut handle.sync_directory) {
        state.log.push(Op::SyncDirectory);
    }
    code(result, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: the file is open, and there is room for the answer.
    unsafe {
        let handle = handle(file);
        *out = handle.computer.disk.lock().contents[handle.inode].len() as i64;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock_file(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: the file is open.
    unsafe { handle(file) }.lock(level)
}

unsafe extern "C" fn unlock_file(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: the file is open.
    unsafe { handle(file) }.unlock(level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: the file is open, and there is room for the answer.
    unsafe { *out = c_int::from(handle(file).with(|_, shared| shared.reserved)) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let first = !std::mem::replace(&mut handle.mapped, true);
    let memory = handle.with(|_, shared| {
        shared.mapped += u32::from(first);
        while extend != 0 && shared.memory.len() <= region as usize {
            shared.memory.push(vec![0u64; size as usize / 8].into_boxed_slice());
        }
        let found = shared.memory.get_mut(region as usize);
        found.map_or(std::ptr::null_mut(), |memory| memory.as_mut_ptr().cast())
    });
    // SAFETY: there is room for the answer. The memory stays where it is for as long as it is mapped
    // by anyone; that several threads use it is what it is for.
    unsafe { *out = memory };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: the file is open.
    let handle = unsafe { handle(file) };
    let slots = first as usize..(first + count) as usize;
    let mask = slots.clone().fold(0, |mask, slot| mask | 1 << slot);
    let unlock = flags & ffi::SQLITE_SHM_UNLOCK != 0;
    let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    handle.with(|own, shared| {
        let slots = &mut shared.slots[slots];
        if unlock {
            for (slot, bit) in slots.iter_mut().zip(first..) {
                if own.exclusive & 1 << bit != 0 {
                    *slot = 0;
                } else if own.shared & 1 << bit != 0 {
                    *slot -= 1;
                }
            }
            own.exclusive &= !mask;
            own.shared &= !mask;
        } else if exclusive {
            if own.exclusive & mask == mask {
                return ffi::SQLITE_OK;
            }
            if slots.iter().any(|slot| *slot != 0) {
                return ffi::SQLITE_BUSY;
            }
            slots.fill(-1);
            own.exclusive |= mask;
        } else {
            if own.shared & mask != 0 {
                return ffi::SQLITE_OK;
            }
            if slots.iter().any(|slot| *slot < 0) {
                return ffi::SQLITE_BUSY;
            }
            slots.iter_mut().for_each(|slot| *slot += 1);
            own.shared |= mask;
        }
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file is open.
    unsafe { handle(file) }.unmap();
    ffi::SQLITE_OK
}

impl Handle {
    fn with<T>(&mut self, f: impl FnOnce(&mut Handle, &mut Shared) -> T) -> T {
        let computer = self.computer.clone();
        let mut all = lock(&computer.shared);
        f(self, all.entry(self.inode).or_default())
    }

    fn lock(&mut self, level: c_int) -> c_int {
        self.with(|own, shared| {
            if own.level >= level {
                return ffi::SQLITE_OK;
            }
            if level == ffi::SQLITE_LOCK_SHARED {
                if shared.pending || shared.exclusive {
                    return ffi::SQLITE_BUSY;
                }
                shared.readers += 1;
            } else {
                // Another's: one's own are reserved and, after a vain attempt, pending.
                let reserved = shared.reserved && own.level < ffi::SQLITE_LOCK_RESERVED;
                let pending = shared.pending && own.level < ffi::SQLITE_LOCK_PENDING;
                if reserved || pending || shared.exclusive {
                    return ffi::SQLITE_BUSY;
                }
                shared.reserved = true;
                if level == ffi::SQLITE_LOCK_EXCLUSIVE {
                    shared.pending = true;
                    own.level = ffi::SQLITE_LOCK_PENDING;
                    if shared.readers > 1 {
                        return ffi::SQLITE_BUSY;
                    }
                    shared.exclusive = true;
                }
            }
            own.level = level;
            ffi::SQLITE_OK
        })
    }

    fn unlock(&mut self, level: c_int) {
        self.with(|own, shared| {
            if own.level > ffi::SQLITE_LOCK_SHARED && level <= ffi::SQLITE_LOCK_SHARED {
                (shared.reserved, shared.pending, shared.exclusive) = (false, false, false);
            }
            if own.level >= ffi::SQLITE_LOCK_SHARED && level == ffi::SQLITE_LOCK_NONE {
                shared.readers -= 1;
            }
            own.level = own.level.min(level);
        });
    }

    fn unmap(&mut self) {
        if std::mem::take(&mut self.mapped) {
            self.with(|_, shared| {
                shared.mapped -= 1;
                // As on unix, the next to come finds it empty.
                if shared.mapped == 0 {
                    shared.memory.clear();
                }
            });
        }
    }
}
