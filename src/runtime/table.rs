//! Handle tables: what a host holds are numbers, and a number that is stale, forged or of another
//! kind is an error, never another object.
//!
//! A number is kind (8 bits), generation (32) and slot (24). A slot's generation goes up by one
//! with each object in it, and begins at random, so that a number of another copy of this library
//! does not fit; a slot whose generations are used up is not used again. A lookup takes a reference
//! and lets go of the lock before any work, so that an object can be freed while a call uses it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Error, ErrorKind, Result, bail};

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;
/// Neighbouring slots lie in different shards, so that threads seldom meet on a lock.
const SHARDS: usize = 8;
const MAX_SLOTS: usize = (1 << SLOT_BITS) / SHARDS;

/// The objects of one kind.
pub struct Table<T> {
    kind: u8,
    name: &'static str,
    next_shard: AtomicUsize,
    shards: [RwLock<Shard<T>>; SHARDS],
}

struct Shard<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    /// Generations left before the slot must rest for good.
    left: u32,
    object: Option<Arc<Entry<T>>>,
}

struct Entry<T> {
    poisoned: AtomicBool,
    value: T,
}

/// A reference to an object. Freeing the object's handle does not take it away.
pub struct Handle<T>(Arc<Entry<T>>);

impl<T> Deref for Handle<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Table<T> {
    /// A table of a kind (not 0, and of no other table) whose objects are called so in errors.
    pub const fn new(kind: u8, name: &'static str) -> Self {
        assert!(kind != 0);
        Table {
            kind,
            name,
            next_shard: AtomicUsize::new(0),
            shards: [const { RwLock::new(Shard { slots: Vec::new(), free: Vec::new() }) }; SHARDS],
        }
    }

    /// Takes an object in and gives its number, which is never 0.
    ///
    /// # Errors
    /// [`ErrorKind::Resources`] where there are too many already (about two million).
    pub fn insert(&self, value: T) -> Result<u64> {
        let object = Arc::new(Entry { poisoned: AtomicBool::new(false), value });
        let shard_index = self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = write(&self.shards[shard_index]);
        let index = match shard.free.pop() {
            Some(index) => index as usize,
            None if shard.slots.len() < MAX_SLOTS => {
                let generation = RandomState::new().hash_one(shard.slots.len()) as u32;
                shard.slots.push(Slot { generation, left: u32::MAX, object: None });
                shard.slots.len() - 1
            }
            None => {
                drop(shard);
                bail!(Resources, "too many {} handles are in use", self.name)
            }
        };
        let slot = &mut shard.slots[index];
        slot.object = Some(object);
        Ok(self.pack(slot.generation, (index * SHARDS + shard_index) as u32))
    }

    /// The object of this number.
    ///
    /// # Errors
    /// [`ErrorKind::Handle`]; [`ErrorKind::Poisoned`] after [`Table::poison`].
    pub fn get(&self, id: u64) -> Result<Handle<T>> {
        let (generation, shard, index) = self.unpack(id)?;
        let object = {
            let shard = read(&self.shards[shard]);
            match shard.slots.get(index) {
                Some(slot) if slot.generation == generation => slot.object.clone(),
                _ => None,
            }
        };
        let object = object.ok_or_else(|| self.stale())?;
        if object.poisoned.load(Ordering::Acquire) {
            bail!(
                Poisoned,
                "an earlier bug in wakustore left this {} unusable: free it",
                self.name
            );
        }
        Ok(Handle(object))
    }

    /// Takes the object of this number out, poisoned or not.
    ///
    /// # Errors
    /// [`ErrorKind::Handle`].
    pub fn remove(&self, id: u64) -> Result<Handle<T>> {
        let (generation, shard, index) = self.unpack(id)?;
        let mut shard = write(&self.shards[shard]);
        let shard = &mut *shard;
        let slot = shard.slots.get_mut(index).filter(|s| s.generation == generation);
        let slot = slot.ok_or_else(|| self.stale())?;
        let object = slot.object.take().ok_or_else(|| self.stale())?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.left -= 1;
        if slot.left > 0 {
            shard.free.push(index as u32);
        }
        Ok(Handle(object))
    }

    /// After this, [`Table::get`] refuses the object. Nothing happens where there is none.
    pub fn poison(&self, id: u64) {
        if let Ok(object) = self.get(id) {
            object.0.poisoned.store(true, Ordering::Release);
        }
    }

    fn pack(&self, generation: u32, slot: u32) -> u64 {
        u64::from(self.kind) << (SLOT_BITS + GENERATION_BITS)
            | u64::from(generation) << SLOT_BITS
            | u64::from(slot)
    }

    /// Generation, shard and index in it.
    fn unpack(&self, id: u64) -> Result<(u32, usize, usize)> {
        if id == 0 {
            bail!(Handle, "the {} handle is null", self.name);
        }
        if (id >> (SLOT_BITS + GENERATION_BITS)) as u8 != self.kind {
            bail!(Handle, "the handle is not one of a {}", self.name);
        }
        let slot = (id & ((1 << SLOT_BITS) - 1)) as usize;
        Ok(((id >> SLOT_BITS) as u32, slot % SHARDS, slot / SHARDS))
    }

    fn stale(&self) -> Error {
        Error::new(
            ErrorKind::Handle,
            format!("the {} handle is stale or was never given out", self.name),
        )
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::HashSet;

    use super::*;

    fn refused<T>(result: Result<T>) -> bool {
        result.is_err_and(|e| e.kind() == ErrorKind::Handle)
    }

    #[test]
    fn numbers_are_never_given_twice_and_never_null() {
        let table = Table::new(1, "test");
        let mut seen = HashSet::new();
        for round in 0..50_u32 {
            let ids: Vec<u64> = (0..20).map(|i| table.insert(round * 100 + i).unwrap()).collect();
            for (i, id) in (0..).zip(&ids) {
                assert!(*id != 0 && seen.insert(*id));
                assert_eq!(*table.get(*id).unwrap(), round * 100 + i);
            }
            for id in ids {
                table.remove(id).unwrap();
                assert!(refused(table.get(id)) && refused(table.remove(id)));
            }
        }
        let used: usize = table.shards.iter().map(|s| read(s).slots.len()).sum();
        assert!(used <= 20 + SHARDS, "slots are used again: {used}");
    }

    #[test]
    fn stale_forged_and_foreign_numbers_are_refused() {
        let (table, other) = (Table::new(1, "one"), Table::new(2, "other"));
        let id = table.insert(()).unwrap();
        let foreign = other.insert(()).unwrap();
        for bad in [0, 1, u64::MAX, id + SHARDS as u64, id ^ (1 << SLOT_BITS), foreign] {
            assert!(refused(table.get(bad)), "{bad:x}");
        }
        assert!(table.get(id).is_ok() && other.get(foreign).is_ok());
    }

    #[test]
    fn freed_in_use_an_object_lives_until_it_is_let_go() {
        let table = Table::new(1, "test");
        let held = Arc::new(());
        let id = table.insert(Arc::clone(&held)).unwrap();
        let in_use = table.get(id).unwrap();
        table.remove(id).unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        drop(in_use);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_poisoned_object_can_only_be_freed() {
        let table = Table::new(1, "test");
        let id = table.insert(()).unwrap();
        table.poison(id);
        assert_eq!(table.get(id).err().map(|e| e.kind()), Some(ErrorKind::Poisoned));
        assert!(table.remove(id).is_ok());
    }

    #[test]
    fn a_worn_slot_rests() {
        let table = Table::new(1, "test");
        let id = table.insert(()).unwrap();
        let (_, shard, index) = table.unpack(id).unwrap();
        write(&table.shards[shard]).slots[index].left = 1;
        table.remove(id).unwrap();
        assert!(read(&table.shards[shard]).free.is_empty());
    }

    #[test]
    fn threads_do_not_see_each_others_objects() {
        let table = Table::new(1, "test");
        std::thread::scope(|s| {
            for t in 0..4_u64 {
                let table = &table;
                s.spawn(move || {
                    for i in 0..2_000 {
                        let id = table.insert((t, i)).unwrap();
                        assert_eq!(*table.get(id).unwrap(), (t, i));
                        table.remove(id).unwrap();
                        assert!(refused(table.get(id)));
                    }
                });
            }
        });
    }
}
