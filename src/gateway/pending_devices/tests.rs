//! Who stays and who goes where too many keys ask.

use super::*;
use crate::identity::DeviceKey;

fn key() -> PublicKey {
    DeviceKey::generate().unwrap().public().clone()
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn a_device_is_pending_for_ten_minutes() {
    let (pending, key) = (PendingDevices::default(), key());
    assert!(pending.find(&key, 1000).is_none());
    pending.add(&key, address(1), 1000);
    assert_eq!(pending.find(&key, 1600).unwrap().address, address(1));
    assert_eq!(pending.find_by_fingerprint(&key.fingerprint(), 1600).unwrap().key, key);
    assert!(pending.find(&key, 1601).is_none() && pending.all(1601).is_empty());
    pending.add(&key, address(2), 1700);
    assert_eq!(pending.find(&key, 1700).unwrap().address, address(2));
    pending.settle(&key);
    assert!(pending.find(&key, 1700).is_none());
}

#[test]
fn a_denial_holds_for_ten_minutes() {
    let (pending, key) = (PendingDevices::default(), key());
    pending.add(&key, address(1), 1000);
    pending.deny(&key);
    assert!(pending.find(&key, 1000).is_none());
    assert_eq!(pending.add(&key, address(1), 1500), Asked::Denied);
    assert!(pending.find(&key, 1500).is_none());
    assert_eq!(pending.add(&key, address(1), 1601), Asked::Pending, "and ends");
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let (pending, mine) = (PendingDevices::default(), key());
    pending.add(&mine, address(1), 1000);
    let crowd: Vec<PublicKey> = (0..70).map(|_| key()).collect();
    for (host, key) in crowd.iter().enumerate() {
        pending.add(key, IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 7, host as u16]), 1001 + host as i64);
    }
    assert!(pending.find(&mine, 1100).is_some());
    assert_eq!(pending.all(1100).len(), 1 + MOST_FROM_ONE);
    let last = pending.find(&crowd[69], 1100).unwrap();
    assert_eq!(last.address.to_string(), "2001:db8:0:1::7:45", "and is shown as it is");
}

#[test]
fn too_many_devices_from_one_address_evict_each_other() {
    let (pending, mine) = (PendingDevices::default(), key());
    pending.add(&mine, address(1), 1000);
    let crowd: Vec<PublicKey> = (0..70).map(|_| key()).collect();
    for (second, key) in crowd.iter().enumerate() {
        pending.add(key, address(2), 1001 + second as i64);
    }
    assert!(pending.find(&mine, 1100).is_some());
    assert_eq!(pending.all(1100).len(), 1 + MOST_FROM_ONE);
    assert!(pending.find(&crowd[0], 1100).is_none() && pending.find(&crowd[69], 1100).is_some());
}

/// Somebody behind the same NAT sends new keys, each of them twice, while a person compares fingerprints.
#[test]
fn a_device_that_waits_outlasts_a_flood_from_its_address() {
    let (pending, waiting, opened, denied) = (PendingDevices::default(), key(), key(), key());
    for device in [&opened, &denied, &waiting] {
        pending.add(device, address(1), 1000);
    }
    pending.mark_reviewed(&opened, Uuid::from_u128(1));
    pending.deny(&denied);
    let mut flood = Vec::new();
    for second in 1001..=1500 {
        flood.extend([key(), key()]);
        for key in &flood[flood.len().saturating_sub(80)..] {
            pending.add(key, address(1), second);
        }
        if second % 10 == 0 {
            pending.add(&waiting, address(1), second);
        }
    }
    assert_eq!(pending.lock().all.len(), MOST_FROM_ONE);
    assert!(pending.find(&waiting, 1500).is_some() && pending.find(&opened, 1500).is_some());
    assert_eq!(pending.add(&denied, address(1), 1501), Asked::Denied, "a denial is not washed away");
}

/// As `ollama-auth keys revoke` sends one each time.
#[test]
fn keys_that_ask_once_push_out_no_device_that_asks_again() {
    let (pending, waiting) = (PendingDevices::default(), key());
    let once = |second| pending.add(&key(), address(1), second);
    (1000..1100).for_each(|second| assert_eq!(once(second), Asked::Pending));
    pending.add(&waiting, address(1), 1100);
    (1101..1104).for_each(|second| assert_eq!(once(second), Asked::Pending));
    pending.add(&waiting, address(1), 1104);
    (1105..1300).for_each(|second| assert_eq!(once(second), Asked::Pending));
    assert!(pending.find(&waiting, 1300).is_some());
}

#[test]
fn new_keys_of_a_network_are_limited_and_known_ones_are_not() {
    let (pending, known) = (PendingDevices::default(), key());
    let from = |last| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
    pending.add(&known, from(1), 1000);
    for last in 1..48 {
        assert_eq!(pending.add(&key(), from(last), 1000), Asked::Pending, "{last}");
    }
    let refused = key();
    assert_eq!(pending.add(&refused, from(99), 1000), Asked::TooManyNew);
    assert!(pending.find(&refused, 1000).is_none());
    assert_eq!(pending.add(&known, from(1), 1000), Asked::Pending);
    assert_eq!(pending.add(&key(), address(1), 1000), Asked::Pending, "nor another network's");
    for second in 1001..1005 {
        assert_eq!(pending.add(&key(), from(1), second), Asked::Pending);
        assert_eq!(pending.add(&key(), from(1), second), Asked::TooManyNew);
    }
    for _ in 0..8 {
        assert_eq!(pending.add(&key(), from(1), 1012), Asked::Pending);
    }
    assert_eq!(pending.add(&key(), from(1), 1012), Asked::TooManyNew);
    // The clock is set back.
    assert_eq!(pending.add(&key(), from(1), 500), Asked::TooManyNew);
    assert_eq!(pending.add(&key(), from(1), 501), Asked::Pending);
}

/// As somebody does who is in the same network and has others besides.
#[test]
fn keys_that_asked_elsewhere_first_do_not_fill_a_network() {
    let (pending, waiting) = (PendingDevices::default(), key());
    for last in 2..12 {
        for _ in 0..16 {
            let key = key();
            pending.add(&key, address(last), 1000);
            pending.add(&key, address(1), 1000);
        }
    }
    pending.add(&waiting, address(1), 1001);
    pending.add(&waiting, address(1), 1002);
    for second in 1002..1100 {
        pending.add(&key(), address(1), second);
    }
    assert_eq!(pending.lock().entries(address(1)), MOST_FROM_ONE);
    assert!(pending.find(&waiting, 1100).is_some());
}

#[test]
fn an_account_keeps_a_few_devices_only() {
    let pending = PendingDevices::default();
    let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (keys, theirs) = ((0..20).map(|_| key()).collect::<Vec<_>>(), key());
    pending.add(&theirs, address(1), 1000);
    pending.mark_reviewed(&theirs, bob);
    for (second, key) in keys.iter().enumerate() {
        pending.add(key, address(1), 1000 + second as i64);
        pending.mark_reviewed(key, ada);
        pending.mark_reviewed(key, ada);
    }
    pending.mark_reviewed(&key(), ada);
    let reviewed = |account| pending.all(1020).iter().filter(|device| device.reviewed_by == Some(account)).count();
    assert_eq!((reviewed(ada), reviewed(bob)), (MAX_REVIEWED_BY_ACCOUNT, 1));
    for n in 0..200 {
        pending.add(&key(), address(1), 1100 + n);
    }
    assert!(pending.find(&keys[19], 1300).is_some() && pending.find(&theirs, 1300).is_some());
    assert!(pending.find(&keys[0], 1300).is_none());
    assert_eq!(pending.lock().all.len(), MOST_FROM_ONE);
}

/// An IPv6 caller controls at least 2^64 addresses.
#[test]
fn addresses_of_one_network_are_limited_together() {
    let (pending, mine) = (PendingDevices::default(), key());
    let mine_from = |last| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
    pending.add(&mine, mine_from(1), 1000);
    for last in 0..70 {
        pending.add(&key(), IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, last]), 1001 + i64::from(last));
    }
    assert_eq!(pending.all(1100).len(), 1 + MOST_FROM_ONE);
    assert!(pending.find(&mine, 1100).is_some());
}

/// Each from a network of its own, as a caller with a /48 can send them.
#[test]
fn the_total_is_bounded_and_counted_correctly() {
    let pending = PendingDevices::default();
    let from = |n: usize| IpAddr::from([0x2001, 0xdb8, (n >> 16) as u16, n as u16, 0, 0, 0, 1]);
    let (first, crowd) = (key(), (0..MOST + 100).map(|_| key()).collect::<Vec<_>>());
    pending.add(&first, from(MOST + 200), 999);
    pending.add(&first, from(MOST + 200), 1000);
    for (n, key) in crowd.iter().enumerate() {
        pending.add(key, from(n), 1000 + (n % 3) as i64);
        // Again, and from elsewhere.
        pending.add(key, from(n / 2), 1000 + (n % 3) as i64);
    }
    let consistent = |table: &Table| {
        let mut counted: HashMap<IpAddr, usize> = HashMap::new();
        table.all.values().for_each(|device| *counted.entry(device.network).or_default() += 1);
        counted == table.networks.iter().map(|(network, known)| (*network, known.entries)).collect()
    };
    assert!(pending.lock().all.len() == MOST && consistent(&pending.lock()));
    assert!(pending.find(&first, 1003).is_some(), "those that wait stay");
    for key in crowd.iter().chain([&first]) {
        pending.settle(key);
    }
    assert!(pending.lock().all.is_empty() && pending.lock().networks.is_empty());
    pending.add(&crowd[0], from(0), 1000);
    for (n, key) in crowd.iter().enumerate().skip(1).take(MOST) {
        pending.add(key, from(n), 1700);
    }
    assert!(pending.lock().all.len() == MOST && consistent(&pending.lock()), "what is over is dropped first");
    assert!(pending.find(&crowd[1], 1700).is_some());
}
