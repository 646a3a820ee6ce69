//! Who is served next, by a clock that only these tests move.

use std::pin::Pin;

use futures_util::FutureExt as _;
use tokio::time::{Instant, advance};

use super::*;

fn now(future: &mut Pin<Box<impl Future<Output = Share>>>) -> Option<Share> {
    future.as_mut().now_or_never()
}

/// Several requests of one client, in their order.
fn ask(member: &Member, requests: usize) -> Vec<Pin<Box<impl Future<Output = Share>>>> {
    let mut all: Vec<_> = (0..requests).map(|_| Box::pin(member.acquire(1))).collect();
    for request in &mut all {
        assert!(now(request).is_none(), "all units are taken");
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_client_that_holds_least_is_served_next() {
    let pool = Pool::new(4, 4);
    let (alice, bob, carol) = (pool.member(), pool.member(), pool.member());
    let mut of_alice: Vec<Share> = (0..3).map(|_| alice.try_acquire(1).unwrap()).collect();
    let of_bob = bob.try_acquire(1).unwrap();
    // Alice asks first, and most.
    let mut alice_waits = ask(&alice, 10);
    let mut bob_waits = ask(&bob, 2);
    let mut carol_waits = ask(&carol, 2);
    drop(of_alice.pop());
    let of_carol = now(&mut carol_waits[0]).expect("carol holds nothing");
    drop(of_alice.pop());
    // Each holds one now: whoever waits longest is served.
    let again = now(&mut alice_waits[0]).expect("alice waits longest");
    drop(of_bob);
    let of_bob = now(&mut bob_waits[0]).expect("bob holds nothing");
    assert!(now(&mut carol_waits[1]).is_none() && now(&mut alice_waits[1]).is_none());
    assert_eq!(pool.used(), 4);
    drop((of_carol, again, of_bob));
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_its_first_share_in_time_while_another_holds_two() {
    let pool = Pool::new(2, 2);
    let (alice, bob) = (pool.member(), pool.member());
    let stalled = [alice.force(1), alice.force(1)];
    let started = Instant::now();
    let first = bob.acquire(1).await;
    assert!(started.elapsed() <= Duration::from_millis(100), "{:?}", started.elapsed());
    // The next one waits like everybody's.
    let mut second = Box::pin(bob.acquire(1));
    for _ in 0..100 {
        advance(FIRST_WAIT).await;
        assert!(now(&mut second).is_none());
    }
    drop(stalled);
    second.await;
    drop(first);
    assert_eq!(pool.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn first_shares_exceed_the_capacity_within_bounds() {
    let pool = Pool::new(4, 4);
    let hoarder = pool.member();
    let stalled: Vec<Share> = (0..4).map(|_| hoarder.force(1)).collect();
    let others = (0..10).map(|_| {
        let other = pool.member();
        tokio::spawn(async move { other.acquire(1).await })
    });
    let others: Vec<_> = others.collect();
    tokio::time::sleep(10 * FIRST_WAIT).await;
    assert_eq!(pool.used(), 4 * OVERDRAFT_FACTOR);
    drop(stalled);
    for other in others {
        drop(other.await.unwrap());
    }
    assert_eq!(pool.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_ahead_where_each_holds_one() {
    let pool = Pool::new(2, 2);
    let members = [pool.member(), pool.member(), pool.member()];
    let held = [members[0].try_acquire(1).unwrap(), members[1].try_acquire(1).unwrap()];
    let mut third = Box::pin(members[2].acquire(1));
    for _ in 0..100 {
        advance(FIRST_WAIT).await;
        assert!(now(&mut third).is_none(), "nobody holds two");
    }
    drop(held);
    third.await;
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_to_its_own_limit_and_is_in_nobodys_way() {
    let pool = Pool::new(10, 4);
    let (alice, bob) = (pool.member(), pool.member());
    let mut held: Vec<Share> = (0..4).map(|_| alice.try_acquire(1).unwrap()).collect();
    assert!(alice.try_acquire(1).is_none());
    let mut waits = ask(&alice, 1);
    let of_bob = bob.acquire(4).await;
    assert!(now(&mut waits[0]).is_none());
    drop(held.pop());
    assert!(now(&mut waits[0]).is_some());
    drop(of_bob);
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_limit_is_served_alone() {
    let pool = Pool::new(10, 4);
    let alice = pool.member();
    let one = alice.acquire(1).await;
    let mut large = Box::pin(alice.acquire(100));
    assert!(now(&mut large).is_none());
    drop(one);
    let large = now(&mut large).expect("nothing else is lent");
    assert!(alice.is_over());
    assert!(pool.member().try_acquire(1).is_none());
    drop(large);
    assert!(!alice.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_the_queue_and_its_units() {
    let pool = Pool::new(2, 2);
    let (alice, bob) = (pool.member(), pool.member());
    let held = alice.acquire(2).await;
    let mut large = Box::pin(bob.acquire(2));
    let mut small = Box::pin(bob.acquire(1));
    assert!(now(&mut large).is_none() && now(&mut small).is_none());
    drop(large);
    drop(held);
    // Served, but never looked at.
    drop(small);
    assert_eq!(pool.used(), 0);
    assert!(pool.lock().queues.is_empty());
    drop(bob.acquire(2).await);
}

#[tokio::test(start_paused = true)]
async fn shares_are_resized_and_split_without_a_loss() {
    let pool = Pool::new(10, 10);
    let (alice, bob) = (pool.member(), pool.member());
    let mut whole = alice.acquire(10).await;
    let mut waits = Box::pin(bob.acquire(4));
    assert!(now(&mut waits).is_none());
    let part = whole.split(3);
    assert_eq!((whole.units(), part.units(), alice.held()), (7, 3, 10));
    whole.resize(3);
    let of_bob = now(&mut waits).expect("four units are free");
    whole.resize(30);
    assert_eq!((alice.held(), pool.used()), (33, 37));
    drop((whole, part, of_bob));
    assert_eq!((alice.held(), bob.held(), pool.used()), (0, 0, 0));
    assert_eq!(pool.lock().holders_of_two, 0);
}

/// Clients that ask, hold and give up at random: nothing is lost, and whoever waits is served in the end.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_and_nobody_starves() {
    for seed in 0..20 {
        let pool = Pool::new(8, 5);
        let clients = (0..6).map(|number| {
            let member = pool.member();
            let mut random = fastrand::Rng::with_seed(seed * 100 + number);
            tokio::spawn(async move {
                for _ in 0..200 {
                    let units = random.usize(0..7);
                    let patience = Duration::from_millis(random.u64(0..200));
                    let held = tokio::time::timeout(patience, member.acquire(units)).await;
                    if held.is_ok() {
                        tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
                    }
                }
                drop(member.acquire(5).await);
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        assert_eq!(pool.used(), 0);
        let state = pool.lock();
        assert!(state.queues.is_empty());
        assert_eq!(state.holders_of_two, 0);
    }
}
