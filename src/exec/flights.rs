//! Actions with one key, in runs that go on side by side or within one: the first that knows the key goes ahead, and
//! the others wait until it has ended, when they find its result. Leaves out results, and who wakes those that wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::ActionKey;

/// An action of one of the runs: which run, and the index of the action in its plan.
pub(super) type Place = (usize, u32);

/// Who goes ahead with which key.
///
/// The key is taken before the look for a result, and held until the result is on record: so nobody looks just before
/// it is, and makes it again.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    flights: BTreeMap<ActionKey, Flight>,
    /// The keys of those that go ahead.
    leads: BTreeMap<Place, ActionKey>,
    follows: BTreeSet<Place>,
}

#[derive(Debug)]
struct Flight {
    leader: Place,
    followers: Vec<Place>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this action goes ahead with the key. If not, it follows another that does.
    pub(super) fn join(&self, key: ActionKey, place: Place) -> bool {
        let mut inner = self.lock();
        if let Some(flight) = inner.flights.get_mut(&key) {
            if flight.leader == place {
                return true;
            }
            flight.followers.push(place);
            inner.follows.insert(place);
            return false;
        }
        inner.flights.insert(key, Flight { leader: place, followers: Vec::new() });
        inner.leads.insert(place, key);
        true
    }

    /// Whether what this action follows has not ended.
    pub(super) fn is_following(&self, place: Place) -> bool {
        self.lock().follows.contains(&place)
    }

    /// An action goes ahead no longer. Gives those that followed it.
    pub(super) fn end(&self, place: Place) -> Vec<Place> {
        let mut inner = self.lock();
        let Some(key) = inner.leads.remove(&place) else { return Vec::new() };
        let followers = inner.flights.remove(&key).map(|flight| flight.followers).unwrap_or_default();
        for follower in &followers {
            inner.follows.remove(follower);
        }
        followers
    }

    /// The actions of a run that go ahead.
    pub(super) fn led_by(&self, run: usize) -> Vec<Place> {
        self.lock().leads.range((run, 0)..=(run, u32::MAX)).map(|(place, _)| *place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    #[test]
    fn one_goes_ahead_and_the_next_when_it_has_ended() {
        let flights = Flights::default();
        let key = ActionKey(Digest::of_blob(b"key"));
        assert!(flights.join(key, (0, 1)) && flights.join(key, (0, 1)));
        assert!(!flights.join(key, (1, 7)) && !flights.join(key, (0, 2)));
        assert!(flights.is_following((1, 7)));
        assert_eq!(flights.led_by(0), [(0, 1)]);
        assert_eq!(flights.end((1, 7)), [], "who follows leads nobody");
        assert_eq!(flights.end((0, 1)), [(1, 7), (0, 2)]);
        assert!(!flights.is_following((1, 7)));
        assert!(flights.join(key, (1, 7)));
        assert_eq!(flights.led_by(0), []);
    }
}
