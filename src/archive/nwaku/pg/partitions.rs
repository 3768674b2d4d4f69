//! The partitions of nwaku's tables: by the hour, named after their ends in seconds.
//!
//! nwaku reads the ends out of the names, so a new one ends at whole seconds; and it drops whole
//! partitions, so one is never longer than an hour.

use std::collections::BTreeMap;

use postgres::Client;

use super::connect::sql;
use crate::error::{Result, bail};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600;
/// More than two centuries of them.
const MAX_PARTITIONS: usize = 2_000_000;
const WRITING: &str = "making a partition in nwaku's database";

/// What there is, from and to, in nanoseconds, half-open.
#[derive(Default)]
pub(super) struct Partitions(BTreeMap<i64, i64>);

impl Partitions {
    pub(super) fn read(client: &mut Client) -> Result<Self> {
        let rows = client
            .query(
                "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i
                 JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = to_regclass('messages')",
                &[],
            )
            .map_err(sql(WRITING))?;
        let mut all = BTreeMap::new();
        for row in rows.iter().take(MAX_PARTITIONS) {
            let text: Option<String> = row.try_get(0).map_err(sql(WRITING))?;
            let Some((from, to)) = text.as_deref().and_then(ends) else {
                bail!(Unsupported, "the partitions of nwaku's database are not by time");
            };
            all.insert(from, to);
        }
        Ok(Partitions(all))
    }

    /// The partition to make for a message of this time, in seconds; none where there is one.
    pub(super) fn lacking(&self, time: i64) -> Result<Option<(i64, i64)>> {
        let before = self.0.range(..=time).next_back();
        if before.is_some_and(|(_, to)| time < *to) {
            return Ok(None);
        }
        let hour = time.div_euclid(HOUR * SECOND) * HOUR;
        // Rounded to where nothing is in the way.
        let floor = before.map_or(i64::MIN, |(_, to)| -(-*to).div_euclid(SECOND));
        let after = time.checked_add(1).and_then(|next| self.0.range(next..).next());
        let ceiling = after.map_or(i64::MAX, |(from, _)| from.div_euclid(SECOND));
        let (from, to) = (hour.max(floor), (hour + HOUR).min(ceiling));
        let second = time.div_euclid(SECOND);
        if second < from || second >= to {
            bail!(
                Unsupported,
                "the partitions of nwaku's database leave no room for a message of {time} ns"
            );
        }
        Ok(Some((from, to)))
    }

    /// Makes it, and that of the table of hashes where that has any. As nwaku does, by attaching
    /// it: nobody who writes is kept waiting.
    pub(super) fn make(
        &mut self,
        client: &mut Client,
        (from, to): (i64, i64),
        lookup: bool,
    ) -> Result<()> {
        let mut tables = vec![("messages", "messages")];
        if lookup {
            tables.push(("messages_lookup", "lookup"));
        }
        let (start, end) = (from.saturating_mul(SECOND), to.saturating_mul(SECOND));
        for (table, name) in tables {
            let text = format!(
                "CREATE TABLE {name}_{from}_{to}
                     (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
                 ALTER TABLE {table} ATTACH PARTITION {name}_{from}_{to}
                     FOR VALUES FROM ({start}) TO ({end});"
            );
            client.batch_execute(&text).map_err(sql(WRITING))?;
        }
        self.0.insert(start, end);
        Ok(())
    }
}

/// The two numbers of `FOR VALUES FROM ('1') TO ('2')`.
fn ends(text: &str) -> Option<(i64, i64)> {
    let rest = text.strip_prefix("FOR VALUES FROM (")?;
    let (from, rest) = rest.split_once(") TO (")?;
    let number = |text: &str| text.trim_matches('\'').parse::<i64>().ok();
    let (from, to) = (number(from)?, number(rest.strip_suffix(')')?)?);
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn of(all: &[(i64, i64)]) -> Partitions {
        Partitions(all.iter().copied().collect())
    }

    #[test]
    fn bounds_are_read() {
        assert_eq!(ends("FOR VALUES FROM ('-5') TO ('7')"), Some((-5, 7)));
        assert_eq!(ends("FOR VALUES FROM (5) TO (7)"), Some((5, 7)));
        for other in ["DEFAULT", "FOR VALUES FROM (MINVALUE) TO ('7')", "FOR VALUES IN ('7')"] {
            assert_eq!(ends(other), None);
        }
    }

    #[test]
    fn a_partition_is_an_hour_or_what_is_left_of_it() {
        let hour = HOUR * SECOND;
        assert_eq!(of(&[]).lacking(5 * hour + 1).unwrap(), Some((5 * HOUR, 6 * HOUR)));
        let there = of(&[(5 * hour, 5 * hour + 90 * SECOND + 1), (6 * hour - SECOND, 7 * hour)]);
        assert_eq!(there.lacking(5 * hour).unwrap(), None);
        assert_eq!(there.lacking(6 * hour).unwrap(), None);
        let between = Some((5 * HOUR + 91, 6 * HOUR - 1));
        assert_eq!(there.lacking(5 * hour + 100 * SECOND).unwrap(), between);
        assert!(there.lacking(5 * hour + 90 * SECOND + 1).is_err(), "half a second is not named");
        assert_eq!(there.lacking(7 * hour).unwrap(), Some((7 * HOUR, 8 * HOUR)));
    }
}
