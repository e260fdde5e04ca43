//! What tokens open, and how what they open changes.

use super::*;
use crate::protocol::reply::{RightsChange, RightsError};

const START: SystemTime = SystemTime::UNIX_EPOCH;
const MINUTE: Duration = Duration::from_secs(60);

fn tokens() -> (Tokens, Credential) {
    let owner = Token::new("o");
    (Tokens::new(owner.clone(), START), Credential::Token(owner))
}

fn by(granted: &Granted) -> Credential {
    Credential::Token(granted.token.clone())
}

#[test]
fn a_token_gives_its_role_until_it_expires() {
    let (mut tokens, owner) = tokens();
    assert_eq!(tokens.role("o", START), Some(Role::Owner));
    assert_eq!(tokens.role("", START), None);
    let viewer = tokens.grant(&owner, Role::Viewer.into(), Some(MINUTE), START).unwrap();
    let editor = tokens.grant(&owner, Role::Editor.into(), None, START).unwrap();
    let role = |granted: &Granted, at| tokens.role(granted.token.reveal(), at);
    assert_eq!(role(&viewer, START), Some(Role::Viewer));
    assert_eq!(role(&viewer, START + MINUTE), None);
    assert_eq!(role(&editor, START + 9 * MINUTE), Some(Role::Editor));
}

#[test]
fn a_credential_has_the_rights_of_its_token_and_the_gateways_is_an_owners() {
    let (mut tokens, owner) = tokens();
    let runs = Rights { role: Role::Editor, run: true, edit: false };
    let link = tokens.grant(&owner, runs, Some(MINUTE), START).unwrap();
    let own = tokens.admit(&by(&link), 1, START).unwrap().unwrap();
    assert_eq!(own.info.rights, runs);
    assert_eq!(tokens.rights(&by(&own), START), Some(runs));
    assert_eq!(tokens.rights(&by(&own), START + MINUTE), None);
    assert_eq!(tokens.rights(&Credential::Gateway, START), Some(Role::Owner.into()));
    // No token gives more than the one it is made with.
    let more = tokens.grant(&by(&own), Role::Editor.into(), None, START);
    assert!(matches!(more, Err(GrantError::BeyondOwn)), "{more:?}");
    assert!(tokens.grant(&by(&own), runs, None, START).is_ok());
}

#[test]
fn whoever_asked_is_told_when_tokens_open_less() {
    let (mut tokens, owner) = tokens();
    let mut changes = tokens.changes();
    let mut have_changed = || {
        let changed = changes.has_changed().unwrap();
        changes.mark_unchanged();
        changed
    };
    let link = tokens.grant(&owner, Role::Viewer.into(), Some(MINUTE), START).unwrap();
    let other = tokens.grant(&owner, Role::Viewer.into(), Some(2 * MINUTE), START).unwrap();
    assert!(have_changed(), "one of them is the next to expire");
    tokens.admit(&by(&other), 1, START).unwrap();
    tokens.expire(START);
    assert!(!have_changed());
    assert_eq!(tokens.next_expiry(), Some(START + MINUTE));
    tokens.expire(START + MINUTE);
    assert!(have_changed());
    assert_eq!(tokens.revoke(link.info.id), Err(RevokeError::NoToken));
    assert!(!have_changed());
    tokens.remove(1).unwrap();
    assert!(have_changed());
    tokens.revoke(other.info.id).unwrap();
    assert!(have_changed());
}

#[test]
fn tokens_are_bounded_and_the_expired_make_room() {
    let (mut tokens, owner) = tokens();
    let mut grant = |lifetime, at| tokens.grant(&owner, Role::Viewer.into(), lifetime, at);
    for _ in 0..SHARED {
        grant(Some(MINUTE), START).unwrap();
    }
    assert!(matches!(grant(None, START), Err(GrantError::TooMany)));
    assert!(grant(None, START + MINUTE).is_ok());
}

#[test]
fn what_is_made_with_a_token_ends_no_later_and_is_revoked_with_it() {
    let (mut tokens, owner) = tokens();
    let link = tokens.grant(&owner, Role::Owner.into(), Some(MINUTE), START).unwrap();
    let other = tokens.grant(&owner, Role::Viewer.into(), None, START).unwrap();
    let own = tokens.admit(&by(&link), 7, START).unwrap().unwrap();
    assert_ne!(own.token.reveal(), link.token.reveal());
    for lifetime in [None, Some(9 * MINUTE), Some(MINUTE / 2)] {
        let child = tokens.grant(&by(&own), Role::Owner.into(), lifetime, START).unwrap().info;
        let most = lifetime.unwrap_or(MINUTE).min(MINUTE);
        assert_eq!((child.expires, child.parent), (Some(START + most), Some(own.info.id)));
    }
    let join = tokens.list(START).pop().unwrap();
    assert_eq!(join.parent, Some(own.info.id));
    assert_eq!(tokens.list(START).len(), 7);
    assert_eq!(tokens.revoke(link.info.id), Ok(vec![7]));
    let left: Vec<_> = tokens.list(START).iter().map(|info| info.id).collect();
    assert_eq!(left, [CREATOR, other.info.id]);
    assert_eq!(tokens.revoke(link.info.id), Err(RevokeError::NoToken));
    assert_eq!(tokens.revoke(CREATOR), Err(RevokeError::Creator));
    assert!(tokens.admit(&by(&own), 8, START).unwrap().is_none());
    let grant = tokens.grant(&by(&link), Role::Viewer.into(), None, START);
    assert!(matches!(grant, Err(GrantError::Invalid)));
}

#[test]
fn a_participant_is_its_own_token_and_two_by_one_link_are_two() {
    let (mut tokens, owner) = tokens();
    let link = tokens.grant(&owner, Role::Editor.into(), None, START).unwrap();
    let ada = tokens.admit(&by(&link), 1, START).unwrap().unwrap();
    let bob = tokens.admit(&by(&link), 2, START).unwrap().unwrap();
    assert_ne!(ada.info.id, bob.info.id);
    assert_eq!([&link, &ada, &bob].map(|one| one.info.link), [true, false, false]);
    assert_eq!(tokens.who(&by(&link), START), Some((Role::Editor, None)));
    assert_eq!(tokens.who(&by(&ada), START), Some((Role::Editor, Some(ada.info.id))));
    assert_eq!(tokens.who(&Credential::Gateway, START), Some((Role::Owner, None)));
    let back = tokens.admit(&by(&ada), 3, START).unwrap().unwrap();
    assert_eq!((back.info.id, back.token.reveal()), (ada.info.id, ada.token.reveal()));
    // Whom one is known by is the newest connection.
    assert_eq!(tokens.remove(1), Err(RevokeError::NoParticipant));
    assert_eq!(tokens.remove(3), Ok(vec![3]));
    assert!(tokens.role(bob.token.reveal(), START).is_some());
}

#[test]
fn of_those_who_left_the_least_and_oldest_are_forgotten_but_not_what_they_made() {
    let (mut tokens, owner) = tokens();
    tokens.admit(&owner, 1, START).unwrap();
    tokens.leave(1);
    let ada = tokens.admit(&Credential::Gateway, 2, START).unwrap().unwrap();
    tokens.leave(2);
    let link = tokens.grant(&by(&ada), Role::Viewer.into(), None, START).unwrap();
    let mut viewers = Vec::new();
    for number in 3..3 + AWAY as u32 + 10 {
        viewers.push(tokens.admit(&by(&link), number, START).unwrap().unwrap());
        tokens.leave(number);
    }
    let known = |one: &Granted| tokens.role(one.token.reveal(), START).is_some();
    assert!(known(&ada) && known(&link), "an owner stays");
    assert_eq!(viewers.iter().map(known).filter(|known| !known).count(), 11);
    assert!(!known(&viewers[10]) && known(&viewers[11]));
    assert_eq!(tokens.list(START).len(), 2 + AWAY);
    // One who is forgotten is not what it made.
    tokens.forget(ada.info.id);
    let listed = tokens.list(START).into_iter().find(|info| info.id == link.info.id);
    assert_eq!(listed.unwrap().parent, None);
}

/// A change of the role alone.
fn to(role: Role) -> RightsChange {
    RightsChange { role: Some(role), ..RightsChange::default() }
}

#[test]
fn changed_rights_stay_with_the_participant() {
    let (mut tokens, owner) = tokens();
    let link = tokens.grant(&owner, Role::Editor.into(), None, START).unwrap();
    let ada = tokens.admit(&by(&link), 1, START).unwrap().unwrap();
    let changes = tokens.changes();
    let withheld = RightsChange { run: Some(false), ..RightsChange::default() };
    tokens.change_rights(&Credential::Gateway, 1, withheld, START).unwrap();
    assert!(changes.has_changed().unwrap());
    let edits = Rights { role: Role::Editor, run: false, edit: true };
    tokens.leave(1);
    assert_eq!(tokens.rights(&by(&ada), START), Some(edits));
    assert_eq!(tokens.admit(&by(&ada), 2, START).unwrap().unwrap().info.rights, edits);
    assert_eq!(tokens.rights_of(2), Some(edits));
    // The link is no participant's: who else comes by it has what it says.
    assert_eq!(tokens.rights(&by(&link), START), Some(Role::Editor.into()));
    for number in [1, 3] {
        let gone = tokens.change_rights(&Credential::Gateway, number, withheld, START);
        assert_eq!(gone, Err(ChangeRightsError::NoParticipant));
    }
    let nothing = RightsChange { edit: Some(false), ..RightsChange::default() };
    let refused = tokens.change_rights(&Credential::Gateway, 2, nothing, START);
    assert_eq!(refused, Err(ChangeRightsError::Rights(RightsError::Nothing)));
    assert_eq!(tokens.rights_of(2), Some(edits));
}

#[test]
fn a_session_keeps_an_owner() {
    let (mut tokens, owner) = tokens();
    tokens.admit(&owner, 1, START).unwrap();
    let (last, viewer) = (Err(ChangeRightsError::LastOwner), to(Role::Viewer));
    assert_eq!(tokens.change_rights(&Credential::Gateway, 1, viewer, START), last, "it is alone");
    // A link is nobody, and an owner for a minute does not replace one for good.
    let short = tokens.grant(&owner, Role::Owner.into(), Some(MINUTE), START).unwrap();
    let link = tokens.grant(&owner, Role::Owner.into(), None, START).unwrap();
    tokens.admit(&by(&short), 2, START).unwrap();
    assert_eq!(tokens.change_rights(&Credential::Gateway, 1, viewer, START), last);
    let ada = tokens.admit(&by(&link), 3, START).unwrap().unwrap();
    tokens.leave(3);
    assert_eq!(
        tokens.change_rights(&Credential::Gateway, 1, viewer, START),
        last,
        "she may not come back"
    );
    tokens.admit(&by(&ada), 4, START).unwrap();
    assert_eq!(tokens.change_rights(&Credential::Gateway, 1, viewer, START), Ok(()));
    assert_eq!(tokens.change_rights(&Credential::Gateway, 4, viewer, START), last);
    // What is revoked with the link would be the last owner as well.
    tokens.change_rights(&Credential::Gateway, 2, viewer, START).unwrap();
    assert_eq!(tokens.revoke(ada.info.id), Err(RevokeError::LastOwner));
    assert_eq!(tokens.remove(4), Err(RevokeError::LastOwner));
    // The creator comes back at any time, and so nobody else has to be there.
    tokens.change_rights(&Credential::Gateway, 1, to(Role::Owner), START).unwrap();
    tokens.leave(1);
    assert_eq!(tokens.change_rights(&Credential::Gateway, 4, viewer, START), Ok(()));
    assert_eq!(tokens.remove(4), Ok(vec![4]));
}

#[test]
fn one_who_may_do_less_has_no_link_to_do_more_with() {
    let (mut tokens, owner) = tokens();
    let link = tokens.grant(&owner, Role::Owner.into(), None, START).unwrap();
    let ada = tokens.admit(&by(&link), 1, START).unwrap().unwrap();
    let [owners, editors, viewers] = [Role::Owner, Role::Editor, Role::Viewer]
        .map(|role| tokens.grant(&by(&ada), role.into(), None, START).unwrap());
    let bob = tokens.admit(&by(&owners), 2, START).unwrap().unwrap();
    let of_bob = tokens.grant(&by(&bob), Role::Owner.into(), None, START).unwrap();
    let runs = RightsChange { role: Some(Role::Editor), run: None, edit: Some(false) };
    tokens.change_rights(&Credential::Gateway, 1, runs, START).unwrap();
    let known = |one: &Granted| tokens.rights(&by(one), START).is_some();
    let all = [&link, &owners, &editors, &viewers, &bob, &of_bob];
    assert_eq!(all.map(known), [true, false, false, true, true, true]);
    // Bob stays, as one whom she let in.
    let listed = tokens.list(START).into_iter().find(|info| info.id == bob.info.id).unwrap();
    assert_eq!((listed.rights.role, listed.parent), (Role::Owner, Some(ada.info.id)));
}
