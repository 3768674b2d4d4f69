//! What two nodes compare: where their scopes meet.

use crate::wire::reconciliation::Scope;

/// What both scopes compare: the intersection, where an empty list is a wildcard; `None` where
/// they do not meet. Topics are in the order of `a`'s list, or of `b`'s where `a` has none.
pub fn meet(a: &Scope, b: &Scope) -> Option<Scope> {
    Some(Scope {
        pubsub_topics: common(&a.pubsub_topics, &b.pubsub_topics)?,
        content_topics: common(&a.content_topics, &b.content_topics)?,
    })
}

fn common<T: Clone + Ord>(a: &[T], b: &[T]) -> Option<Vec<T>> {
    if a.is_empty() {
        return Some(b.to_vec());
    }
    if b.is_empty() {
        return Some(a.to_vec());
    }
    // A peer writes one of the lists: sorted, so that two long ones do not multiply.
    let mut sorted: Vec<&T> = b.iter().collect();
    sorted.sort_unstable();
    let both: Vec<T> = a.iter().filter(|t| sorted.binary_search(t).is_ok()).cloned().collect();
    (!both.is_empty()).then_some(both)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::types::{ContentTopic, PubsubTopic};

    fn scope(pubsub: &[&str], content: &[&str]) -> Scope {
        Scope {
            pubsub_topics: pubsub.iter().map(|t| PubsubTopic::new(t).unwrap()).collect(),
            content_topics: content.iter().map(|t| ContentTopic::new(t).unwrap()).collect(),
        }
    }

    #[test]
    fn empty_lists_are_wildcards() {
        let all = Scope::default();
        let some = scope(&["a", "b"], &["x"]);
        assert_eq!(meet(&all, &all), Some(Scope::default()));
        assert_eq!(meet(&all, &some), Some(some.clone()));
        assert_eq!(meet(&some, &all), Some(some.clone()));
        assert_eq!(meet(&scope(&["a"], &[]), &scope(&[], &["x"])), Some(scope(&["a"], &["x"])),);
    }

    #[test]
    fn both_lists_must_meet() {
        let a = scope(&["a", "b", "c"], &["x", "y"]);
        assert_eq!(meet(&a, &scope(&["c", "d", "a"], &["y"])), Some(scope(&["a", "c"], &["y"])));
        assert_eq!(meet(&a, &scope(&["d"], &["x"])), None);
        assert_eq!(meet(&a, &scope(&["a"], &["z"])), None);
    }
}
