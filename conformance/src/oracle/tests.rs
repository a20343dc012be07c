//! Cases whose outcome was worked out by hand.

use super::*;
use prophet_store::{Authored, Creator, DatabaseId, RecordId, RecordType};

/// A replica that says what a test makes it say, and knows nothing.
struct Author {
    id: ReplicaId,
    last: Option<Changeset>,
}

impl Author {
    fn new(number: u8) -> Self {
        Self { id: ReplicaId::from_bytes([number; 16]), last: None }
    }

    fn says(&mut self, after: &[&Changeset], at: u64, payload: Payload) -> Changeset {
        let sequence = self.last.as_ref().map(|last| last.header().sequence.next());
        let authored = Authored {
            database: DatabaseId::from_bytes([7; 16]),
            origin: self.id,
            sequence: sequence.unwrap_or(Sequence::FIRST),
            previous: self.last.as_ref().map(Changeset::digest),
            parents: digests(after),
            creator: Creator::empty(),
            time: Timestamp::new(at, 0),
            payload,
        };
        let changeset = Changeset::author(authored).expect("a valid changeset");
        self.last = Some(changeset.clone());
        changeset
    }

    /// An update of one property that supersedes what `over` wrote or voted.
    fn writes(&mut self, at: u64, new: &str, over: &[&Changeset]) -> Changeset {
        let set = set(Some("old"), Some(new), over);
        self.says(&[], at, edit(ChangeKind::Update, &[], vec![set]))
    }

    fn votes(&mut self, among: &[&str], choice: &str, over: &[&Changeset]) -> Changeset {
        let among: Vec<_> = among.iter().map(|text| Some(*text)).collect();
        self.says(&[], 1, Payload::Resolution(vec![vote(&among, Some(choice), over)]))
    }

    fn votes_for_deletion(&mut self, seen: &[&Changeset]) -> Changeset {
        let vote =
            Vote::new(record(), RegisterName::Existence, vec![ALIVE, DELETED], DELETED, vec![])
                .and_then(|vote| vote.with_seen(digests(seen)));
        self.says(&[], 1, Payload::Resolution(vec![vote.expect("a valid vote")]))
    }
}

fn digests(changesets: &[&Changeset]) -> Vec<Digest> {
    changesets.iter().map(|changeset| changeset.digest()).collect()
}

fn authors() -> [Author; 4] {
    [1, 2, 3, 4].map(Author::new)
}

fn record() -> RecordKey {
    RecordKey::new(RecordType::new("bug").expect("a name"), RecordId::from_bytes([9; 16]))
}

fn title() -> PropertyName {
    PropertyName::new("title").expect("a name")
}

fn value(text: Option<&str>) -> Option<Value> {
    text.map(Value::from)
}

fn set(old: Option<&str>, new: Option<&str>, over: &[&Changeset]) -> PropertyChange {
    let (old, new) = (value(old), value(new));
    PropertyChange { name: title(), old, new, rank: None, supersedes: digests(over) }
}

fn edit(kind: ChangeKind, over: &[&Changeset], properties: Vec<PropertyChange>) -> Payload {
    Payload::Edit(vec![Change { record: record(), kind, supersedes: digests(over), properties }])
}

fn vote(among: &[Option<&str>], choice: Option<&str>, over: &[&Changeset]) -> Vote {
    let among = among.iter().map(|text| value(*text)).collect();
    let register = RegisterName::Property(title());
    Vote::new(record(), register, among, value(choice), digests(over)).expect("a valid vote")
}

fn oracle_of(mut oracle: Oracle, changesets: &[&Changeset]) -> Oracle {
    changesets.iter().for_each(|changeset| oracle.add(changeset));
    oracle
}

fn shown(oracle: Oracle, changesets: &[&Changeset]) -> ShownRecord {
    oracle_of(oracle, changesets).shows_record(&record())
}

fn title_in(record: &ShownRecord) -> (&str, Rule) {
    let register = &record.registers[&RegisterName::Property(title())];
    (register.visible.as_ref().and_then(Value::as_text).unwrap_or("absent"), register.rule)
}

/// The title by the specification, and by it with a rule broken.
fn titles(broken: Broken, changesets: &[&Changeset]) -> [(String, Rule); 2] {
    [Oracle::new(), Oracle::broken(broken)].map(|oracle| {
        let record = shown(oracle, changesets);
        let (text, rule) = title_in(&record);
        (text.to_owned(), rule)
    })
}

fn existence_in(record: &ShownRecord) -> (Existence, Rule) {
    (record.existence, record.registers[&RegisterName::Existence].rule)
}

#[test]
fn what_nothing_names_never_existed() {
    let record = shown(Oracle::new(), &[]);
    assert_eq!(record.existence, Existence::Never);
    assert!(record.registers.is_empty() && Oracle::new().shows().records.is_empty());
}

#[test]
fn neither_order_nor_repetition_matters() {
    let [mut one, mut two, mut three, _] = authors();
    let a = one.writes(1, "a", &[]);
    let b = two.writes(2, "b", &[&a]);
    let c = three.writes(3, "c", &[&a]);
    let d = one.votes(&["b", "c"], "b", &[]);
    let forward = oracle_of(Oracle::new(), &[&a, &b, &c, &d]);
    let backward = oracle_of(Oracle::new(), &[&d, &c, &c, &b, &d, &a]);
    assert_eq!(forward.shows(), backward.shows());
    assert_eq!((forward.len(), backward.len()), (4, 4));
    assert_eq!(forward.heads, backward.heads);
}

#[test]
fn what_is_superseded_is_dead_before_it_arrives() {
    let [mut one, mut two, ..] = authors();
    let a = one.writes(9, "a", &[]);
    let b = two.writes(1, "b", &[&a]);
    assert_eq!(title_in(&shown(Oracle::new(), &[&b])), ("b", Rule::Agreed));
    assert_eq!(title_in(&shown(Oracle::new(), &[&b, &a])), ("b", Rule::Agreed));
}

#[test]
fn equal_values_are_no_conflict() {
    let [mut one, mut two, ..] = authors();
    let (a, b) = (one.writes(1, "same", &[]), two.writes(2, "same", &[]));
    let record = shown(Oracle::new(), &[&a, &b]);
    assert_eq!(title_in(&record), ("same", Rule::Agreed));
    assert_eq!(record.registers[&RegisterName::Property(title())].writes.len(), 2);
}

#[test]
fn without_votes_the_latest_write_is_visible() {
    let [mut one, mut two, ..] = authors();
    let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
    let expected = [("b".into(), Rule::LatestWrite), ("a".into(), Rule::LatestWrite)];
    assert_eq!(titles(Broken::TieBreak, &[&a, &b]), expected);
}

#[test]
fn a_write_ranks_by_its_rank_where_that_is_given() {
    let [mut one, mut two, ..] = authors();
    let a = one.writes(2, "a", &[]);
    let ranked =
        PropertyChange { rank: Some(Timestamp::new(3, 0)), ..set(Some("old"), Some("b"), &[]) };
    let b = two.says(&[], 1, edit(ChangeKind::Update, &[], vec![ranked]));
    assert_eq!(title_in(&shown(Oracle::new(), &[&a, &b])), ("b", Rule::LatestWrite));
}

#[test]
fn more_than_half_of_the_votes_decides() {
    let [mut one, mut two, mut three, mut four] = authors();
    let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
    let v = one.votes(&["a", "b"], "a", &[]);
    let decided = shown(Oracle::new(), &[&a, &b, &v]);
    assert_eq!(title_in(&decided), ("a", Rule::Majority));
    let register = &decided.registers[&RegisterName::Property(title())];
    assert_eq!(register.votes, BTreeMap::from([(one.id, value(Some("a")))]));

    let (w, c) = (two.votes(&["a", "b"], "b", &[]), three.writes(0, "c", &[]));
    let both = &[&a, &b, &v, &w];
    let expected = [("b".into(), Rule::LatestWrite), ("b".into(), Rule::Majority)];
    assert_eq!(titles(Broken::Majority, both), expected);

    // Two of four are most, but not more than half.
    let set = ["a", "b", "c"];
    let votes = [(&mut one, "a"), (&mut two, "a"), (&mut three, "b"), (&mut four, "c")];
    let votes = votes.map(|(author, choice)| author.votes(&set, choice, &[]));
    let [p, q, r, s] = &votes;
    let expected = [("a".into(), Rule::MostVotes), ("a".into(), Rule::Majority)];
    assert_eq!(titles(Broken::Majority, &[&a, &b, &c, p, q, r, s]), expected);
}

#[test]
fn a_vote_is_for_a_set_of_values() {
    let [mut one, mut two, mut three, _] = authors();
    let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
    let v = one.votes(&["a", "b"], "a", &[]);
    let c = three.writes(3, "c", &[]);
    // On the larger conflict it only says where it leans.
    let expected = [("a".into(), Rule::MostRelatedVotes), ("a".into(), Rule::Majority)];
    assert_eq!(titles(Broken::Fingerprint, &[&a, &b, &c, &v]), expected);
    // The smaller one is the same again when somebody else writes the same values.
    let d = three.writes(4, "a", &[&a, &c]);
    let again = shown(Oracle::new(), &[&a, &b, &c, &d, &v]);
    assert_eq!(title_in(&again), ("a", Rule::Majority));
}

#[test]
fn the_last_vote_of_a_replica_counts() {
    let [mut one, mut two, ..] = authors();
    let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
    let v = one.votes(&["a", "b"], "b", &[]);
    let w = one.votes(&["a", "b"], "a", &[&v]);
    let expected = [("a".into(), Rule::Majority), ("b".into(), Rule::Majority)];
    assert_eq!(titles(Broken::LatestVote, &[&a, &b, &v, &w]), expected);
}

#[test]
fn no_earlier_vote_comes_back() {
    let [mut one, mut two, ..] = authors();
    let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
    let v = one.votes(&["a", "b"], "a", &[]);
    let w = one.votes(&["a", "b"], "b", &[]);
    // Supersedes the last vote alone: the one before it is not the last word all the same.
    let c = two.writes(1, "b", &[&b, &w]);
    assert_eq!(title_in(&shown(Oracle::new(), &[&a, &b, &v, &w, &c])).1, Rule::LatestWrite);
}

#[test]
fn a_vote_supersedes_votes_and_no_writes() {
    let [mut one, mut two, mut three, _] = authors();
    let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
    let v = one.votes(&["a", "b"], "a", &[]);
    let c = three.writes(0, "c", &[]);
    let w = one.votes(&["a", "b", "c"], "b", &[&v, &a]);
    let record = shown(Oracle::new(), &[&a, &b, &c, &v, &w]);
    let register = &record.registers[&RegisterName::Property(title())];
    assert_eq!(register.writes.len(), 3, "a vote that names a write leaves it alone");
    // Without the third value the earlier vote is on the conflict again, but was taken back.
    let d = three.writes(0, "b", &[&c]);
    let record = shown(Oracle::new(), &[&a, &b, &c, &d, &v, &w]);
    assert_eq!(title_in(&record), ("b", Rule::LatestWrite));
}

#[test]
fn where_a_replica_is_forked_it_has_one_vote() {
    let [mut one, mut two, ..] = authors();
    let (a, b) = (one.writes(1, "a", &[]), two.writes(2, "b", &[]));
    let mut copy = Author { id: one.id, last: one.last.clone() };
    let v = one.votes(&["a", "b"], "a", &[]);
    let w = copy.votes(&["a", "b"], "b", &[]);
    let later = if v.digest() > w.digest() { "a" } else { "b" };
    let record = shown(Oracle::new(), &[&a, &b, &v, &w]);
    assert_eq!(title_in(&record), (later, Rule::Majority));
}

#[test]
fn an_update_met_by_a_delete_is_alive_until_decided() {
    let [mut one, mut two, ..] = authors();
    let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
    let a = one.says(&[], 1, create);
    let delete = edit(ChangeKind::Delete, &[&a], vec![set(Some("old"), None, &[])]);
    let b = two.says(&[&a], 2, delete);
    let deleted = shown(Oracle::new(), &[&a, &b]);
    assert_eq!(existence_in(&deleted), (Existence::Deleted, Rule::Agreed));
    assert!(deleted.visible.is_empty());
    assert_eq!(title_in(&deleted), ("old", Rule::Agreed), "hidden, not gone");

    let update = edit(ChangeKind::Update, &[&a], vec![set(Some("old"), Some("new"), &[&a])]);
    let c = one.says(&[], 2, update);
    let open = shown(Oracle::new(), &[&a, &b, &c]);
    assert_eq!(existence_in(&open), (Existence::Alive, Rule::Alive));
    assert_eq!(open.visible, BTreeMap::from([(title(), Value::from("new"))]));
}

#[test]
fn a_vote_for_deletion_counts_while_its_author_saw_every_write() {
    let [mut one, mut two, mut three, _] = authors();
    let a = one.says(&[], 1, edit(ChangeKind::Create, &[], vec![]));
    let b = two.says(&[&a], 2, edit(ChangeKind::Delete, &[&a], vec![]));
    let update =
        |over: &[&Changeset]| edit(ChangeKind::Update, over, vec![set(None, Some("x"), &[])]);
    let c = one.says(&[], 2, update(&[&a]));
    let v = two.votes_for_deletion(&[&c]);
    let decided = shown(Oracle::new(), &[&a, &b, &c, &v]);
    assert_eq!(existence_in(&decided), (Existence::Deleted, Rule::Majority));
    let d = three.says(&[&a], 3, update(&[&a]));
    let unseen = shown(Oracle::new(), &[&a, &b, &c, &v, &d]);
    assert_eq!(existence_in(&unseen), (Existence::Alive, Rule::Alive));
    assert!(unseen.registers[&RegisterName::Existence].votes.is_empty());
}

/// Whether an author who saw `seen` may say `says`.
fn check(seen: &[&Changeset], says: &Changeset) -> Result<(), String> {
    oracle_of(Oracle::new(), seen).check_authored(says)
}

/// What `author` would say after `after`, without its saying it.
fn says(author: &Author, after: &[&Changeset], at: u64, payload: Payload) -> Changeset {
    Author { id: author.id, last: author.last.clone() }.says(after, at, payload)
}

#[track_caller]
fn refused(seen: &[&Changeset], says: &Changeset, why: &str) {
    let error = check(seen, says).expect_err("it is wrong");
    assert!(error.contains(why), "{error}");
}

#[test]
fn a_changeset_follows_what_its_author_saw() {
    let [mut one, mut two, ..] = authors();
    let create = |over: &[&Changeset]| edit(ChangeKind::Create, over, vec![]);
    let a = one.says(&[], 1, create(&[]));
    assert_eq!(check(&[], &a), Ok(()));
    refused(&[&a], &a, "changesets before");

    let delete = edit(ChangeKind::Delete, &[&a], vec![]);
    assert_eq!(check(&[&a], &says(&two, &[&a], 2, delete.clone())), Ok(()));
    refused(&[&a], &says(&two, &[], 2, delete.clone()), "parents");
    let b = two.says(&[&a], 2, delete.clone());
    refused(&[&a, &b], &says(&one, &[], 3, delete.clone()), "parents");
    refused(&[&a, &b], &says(&one, &[&b], 3, delete), "existence before");
    refused(&[&a, &b], &says(&one, &[&b], 3, create(&[&b])), "existence before");
    let undelete = edit(ChangeKind::Undelete, &[&b], vec![]);
    assert_eq!(check(&[&a, &b], &says(&one, &[&b], 3, undelete.clone())), Ok(()));
    // Its own last changeset is no parent, though others have gone on from it.
    refused(&[&a, &b], &says(&one, &[&a, &b], 3, undelete), "parents");
}

#[test]
fn a_forked_author_goes_on_under_another_name() {
    let [mut one, two, ..] = authors();
    let a = one.says(&[], 1, edit(ChangeKind::Create, &[], vec![]));
    let mut copy = Author { id: one.id, last: one.last.clone() };
    let update = |text| edit(ChangeKind::Update, &[&a], vec![set(None, Some(text), &[])]);
    let (b, c) = (one.says(&[], 2, update("b")), copy.says(&[], 2, update("c")));
    let seen = &[&a, &b, &c];
    let delete = edit(ChangeKind::Delete, &[&b, &c], vec![set(Some("b"), None, &[])]);
    refused(seen, &says(&one, &[&c], 3, delete), "changesets before");
    let on = |tip: &Changeset| Payload::Continuation { replica: one.id, tip: tip.digest() };
    assert_eq!(check(seen, &says(&two, &[&b, &c], 3, on(&b))), Ok(()));
    refused(&[&a, &b], &says(&two, &[&b], 3, on(&c)), "no such changeset");
}

#[test]
fn an_update_names_what_it_saw_and_supersedes_it() {
    let [mut one, mut two, mut three, four] = authors();
    let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
    let a = one.says(&[], 5, create);
    let update = |over: &[&Changeset], properties| edit(ChangeKind::Update, over, properties);
    let early =
        PropertyChange { rank: Some(Timestamp::new(5, 0)), ..set(Some("old"), Some("b"), &[&a]) };
    let b = two.says(&[&a], 1, update(&[&a], vec![early]));
    assert_eq!(check(&[&a], &b), Ok(()));
    let unranked = vec![set(Some("old"), Some("b"), &[&a])];
    refused(&[&a], &says(&three, &[&a], 1, update(&[&a], unranked)), "rank");
    let c = three.says(&[&a], 6, update(&[&a], vec![set(Some("old"), Some("c"), &[&a])]));
    let v = {
        let vote = vote(&[Some("b"), Some("c")], Some("b"), &[]);
        two.says(&[&c], 7, Payload::Resolution(vec![vote]))
    };
    assert_eq!(check(&[&a, &b, &c], &v), Ok(()));

    let seen = &[&a, &b, &c, &v];
    let wrong = |properties, why| {
        let says = says(&four, &[&v], 8, update(&[&b, &c], properties));
        match why {
            None => assert_eq!(check(seen, &says), Ok(())),
            Some(why) => refused(seen, &says, why),
        }
    };
    // Writing the value voted for leaves the vote alone, and settles the conflict.
    wrong(vec![set(Some("b"), Some("b"), &[&b, &c])], None);
    wrong(vec![set(Some("b"), Some("b"), &[&b, &c, &v])], Some("supersedes"));
    wrong(vec![set(Some("b"), Some("c"), &[&b, &c, &v])], None);
    wrong(vec![set(Some("b"), None, &[&b, &c])], Some("supersedes"));
    wrong(vec![set(Some("c"), None, &[&b, &c, &v])], Some("old"));
    let same = update(&[&a], vec![set(Some("old"), Some("old"), &[&a])]);
    refused(&[&a], &says(&four, &[&a], 8, same), "changes nothing");
    let one_of_two = update(&[&c], vec![set(Some("b"), None, &[&b, &c, &v])]);
    refused(seen, &says(&four, &[&v], 8, one_of_two), "supersedes");
}

#[test]
fn deleting_hides_and_creating_again_writes_to_all_that_is_known() {
    let [mut one, two, ..] = authors();
    let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
    let a = one.says(&[], 1, create);
    let delete = |properties| edit(ChangeKind::Delete, &[&a], properties);
    refused(&[&a], &says(&two, &[&a], 2, delete(vec![])), "what it hides");
    let hides = vec![set(Some("old"), None, &[])];
    let b = one.says(&[], 2, delete(hides));
    assert_eq!(check(&[&a], &b), Ok(()));

    let again = |properties| edit(ChangeKind::Recreate, &[&b], properties);
    let seen = &[&a, &b];
    refused(seen, &says(&two, &[&b], 3, again(vec![])), "does not write");
    let absent = again(vec![set(None, None, &[&a])]);
    assert_eq!(check(seen, &says(&two, &[&b], 3, absent)), Ok(()));
    let unknown = PropertyChange {
        name: PropertyName::new("unknown").expect("a name"),
        ..set(None, None, &[])
    };
    let unknown = again(vec![set(None, Some("new"), &[&a]), unknown]);
    refused(seen, &says(&two, &[&b], 3, unknown), "changes nothing");
}

#[test]
fn a_vote_names_the_conflict_and_takes_back_those_before_it() {
    let [mut one, mut two, mut three, mut four] = authors();
    let create = edit(ChangeKind::Create, &[], vec![set(None, Some("old"), &[])]);
    let a = one.says(&[], 1, create);
    let write = |text| edit(ChangeKind::Update, &[&a], vec![set(Some("old"), Some(text), &[&a])]);
    let b = one.says(&[], 2, write("b"));
    let c = two.says(&[&a], 2, write("c"));
    let on = |vote| Payload::Resolution(vec![vote]);
    let smaller = [Some("b"), Some("c")];
    let v = one.says(&[&c], 3, on(vote(&smaller, Some("b"), &[])));
    let d = three.says(&[&a], 2, write("d"));
    let seen = &[&a, &b, &c, &v, &d];
    let all = [Some("b"), Some("c"), Some("d")];
    assert_eq!(check(seen, &says(&one, &[&d], 4, on(vote(&all, Some("d"), &[&v])))), Ok(()));
    refused(seen, &says(&one, &[&d], 4, on(vote(&all, Some("d"), &[]))), "supersedes");
    refused(seen, &says(&one, &[&d], 4, on(vote(&smaller, Some("c"), &[&v]))), "it is on");
    // Somebody else's vote is not taken back, unless one goes on from them.
    assert_eq!(check(seen, &says(&two, &[&v, &d], 4, on(vote(&all, Some("d"), &[])))), Ok(()));
    let takes_over =
        |by, after: &[&Changeset]| says(by, after, 4, on(vote(&all, Some("d"), &[&v])));
    refused(seen, &takes_over(&two, &[&v, &d]), "supersedes");
    refused(&[&a, &b], &says(&four, &[&b], 4, on(vote(&smaller, Some("c"), &[]))), "no conflict");
    let continuation = Payload::Continuation { replica: one.id, tip: v.digest() };
    let e = four.says(&[&v, &d], 4, continuation);
    assert_eq!(check(&[&a, &b, &c, &v, &d, &e], &takes_over(&four, &[])), Ok(()));
}

#[test]
fn a_vote_for_deletion_says_what_it_saw() {
    let [mut one, mut two, ..] = authors();
    let a = one.says(&[], 1, edit(ChangeKind::Create, &[], vec![]));
    let b = two.says(&[&a], 2, edit(ChangeKind::Delete, &[&a], vec![]));
    let update = edit(ChangeKind::Update, &[&a], vec![set(None, Some("c"), &[])]);
    let c = one.says(&[], 2, update);
    let vote = |seen: &[&Changeset]| {
        let register = RegisterName::Existence;
        let vote = Vote::new(record(), register, vec![ALIVE, DELETED], DELETED, vec![])
            .and_then(|vote| vote.with_seen(digests(seen)));
        says(&two, &[&c], 3, Payload::Resolution(vec![vote.expect("a valid vote")]))
    };
    assert_eq!(check(&[&a, &b, &c], &vote(&[&c])), Ok(()));
    refused(&[&a, &b, &c], &vote(&[]), "seen");
    refused(&[&a, &b, &c], &vote(&[&a, &c]), "seen");
}
