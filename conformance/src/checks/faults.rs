//! Any step of input and output fails, once or for good, or the process dies at it.

use std::sync::Arc;

use prophet_store::Access;

use crate::disaster::{Again as _, Course, chosen, watched};
use crate::failure::{Failure, Outcome, ensure};
use crate::ordeal::{Ordeal, Strike, Watch, is_honest};
use crate::suite::Context;
use harnesses::{Fault, FaultWay, FaultyPlace};

/// A fresh place with a seam.
pub(crate) fn faulty(context: &Context<'_>) -> Outcome<Arc<dyn FaultyPlace>> {
    let place = context.harness().faulty_place();
    place.map(Arc::from).ok_or_else(|| Failure::around("the harness declares faults and has none"))
}

/// How many steps the course takes where nothing fails.
pub(crate) fn steps(context: &Context<'_>, watch: Watch) -> Outcome<usize> {
    let place = faulty(context)?;
    let outcome = watched("D4", async move {
        let mut ordeal = Ordeal::new(place, None, watch);
        ordeal.run(false).await?;
        Ok(ordeal.place.steps())
    });
    let steps = outcome.map_err(|failure| failure.found("without a fault"))?;
    ensure!(D4, steps > 0, "the place counts no steps");
    Ok(steps as usize)
}

/// Runs the course with each of the chosen strikes.
pub(crate) fn strike_anywhere<F>(
    context: &Context<'_>,
    (lasting, otherwise): (bool, usize),
    watch: impl Fn(usize) -> Watch,
    judge: impl Fn(Ordeal, usize) -> F,
) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let total = steps(context, watch(0))? * Strike::WAYS.len();
    let name = |index| Strike::number(index, lasting).to_string();
    for (index, name) in chosen(total, otherwise, name) {
        let strike = Strike::number(index, lasting);
        let ordeal = Ordeal::new(faulty(context)?, Some(strike), watch(index));
        watched("D4", judge(ordeal, index)).again(&name)?;
    }
    Ok(())
}

pub(crate) async fn any_step_may_fail_once(context: &Context<'_>) -> Outcome {
    // What failed is sent again, or another commit takes its place.
    let watch = |index: usize| match (index / Strike::WAYS.len()).is_multiple_of(2) {
        true => Watch::Reads,
        false => Watch::ReadsAndAnother,
    };
    strike_anywhere(context, (false, 40), watch, |mut ordeal, _| async move {
        ordeal.run(false).await?;
        ordeal.after_crash().await
    })
}

pub(crate) async fn any_step_may_fail_for_good(context: &Context<'_>) -> Outcome {
    strike_anywhere(
        context,
        (true, 30),
        |_| Watch::Reads,
        |mut ordeal, _| async move {
            ordeal.run(true).await?;
            ordeal.after_crash().await
        },
    )
}

pub(crate) async fn a_crash_at_any_step_loses_nothing_acknowledged(
    context: &Context<'_>,
) -> Outcome {
    strike_anywhere(
        context,
        (true, 50),
        |_| Watch::Nothing,
        |mut ordeal, _| async move {
            ordeal.run(true).await?;
            ordeal.after_crash().await
        },
    )
}

/// A place on which the course was made but for its last commit, as a crash after it leaves it.
async fn made(place: Arc<dyn FaultyPlace>) -> Outcome<Arc<dyn FaultyPlace>> {
    let course = Course::get();
    let store = place.create(crate::fixtures::World::IDENTITY)?;
    for commit in &course.commits[..course.len() - 1] {
        crate::suite::apply(&store, commit).await?;
    }
    Ok(Arc::from(place.after_crash()))
}

/// How many steps opening takes.
pub(crate) fn steps_of_opening(place: &dyn FaultyPlace) -> Outcome<usize> {
    let place = place.after_crash();
    let before = place.steps();
    drop(place.open()?);
    Ok((place.steps() - before) as usize)
}

pub(crate) async fn opening_may_fail_at_any_step(context: &Context<'_>) -> Outcome {
    let made = made(faulty(context)?).await?;
    let strikes = Strike::WAYS.len() * 2;
    let total = steps_of_opening(&*made)? * strikes;
    let strike = |index: usize| Strike::number(index / 2, index % 2 == 1);
    for (index, name) in chosen(total, 40, |index| strike(index).to_string()) {
        let place: Arc<dyn FaultyPlace> = Arc::from(made.after_crash());
        place.fail(Some(strike(index).0));
        watched("D2", opening_fails(place, strike(index).0.lasting)).again(&name)?;
    }
    Ok(())
}

async fn opening_fails(place: Arc<dyn FaultyPlace>, lasting: bool) -> Outcome {
    let course = Course::get();
    let there = course.len() - 1;
    match place.open() {
        Ok(store) => {
            let opened = course.standing_in(&store, &(there..=there), "D2").await;
            match opened {
                Err(failure) if !failure.answer().is_some_and(is_honest) => {
                    return Err(failure.found("opened, though a step failed").breaks("D2"));
                }
                _ => {}
            }
        }
        Err(error) if is_honest(&error) => {}
        Err(error) => return Err(Failure::from(error).found("opening").breaks("D2")),
    }
    let place = if lasting { Arc::from(place.after_crash()) } else { place };
    let again = |failure: Failure| failure.found("opening again").breaks("D2");
    let store = place.open().map_err(Failure::from).map_err(again)?;
    course.standing_in(&store, &(there..=there), "D2").await.map_err(again)?;
    crate::suite::apply(&store, &course.commits[there]).await.map_err(again)?;
    course.last().expect(&store).await.map_err(again)
}

pub(crate) async fn recovery_may_crash_at_any_step(context: &Context<'_>) -> Outcome {
    let total = steps(context, Watch::Nothing)? * Strike::WAYS.len();
    let name = |index| Strike::number(index, true).to_string();
    // The crashes of the recoveries are drawn from the number of the crash.
    for (index, name) in chosen(total, 20, name) {
        let ordeal =
            Ordeal::new(faulty(context)?, Some(Strike::number(index, true)), Watch::Nothing);
        watched("D2", recovery_crashes(ordeal, index)).again(&name)?;
    }
    Ok(())
}

async fn recovery_crashes(mut ordeal: Ordeal, index: usize) -> Outcome {
    ordeal.run(true).await?;
    let crashed = ordeal.place.after_crash();
    // Where it was not made, opening finds nothing.
    let Ok(steps) = steps_of_opening(&*crashed) else { return ordeal.after_crash().await };
    for number in 0..3 {
        let at = (index * 7 + number * steps / 3) % steps.max(1);
        let way = Strike::WAYS[(index + number) % Strike::WAYS.len()];
        let again = crashed.after_crash();
        again.fail(Some(Fault { after: at as u64, way, lasting: true }));
        drop(again.open());
        let found = |failure: Failure| {
            failure.found(format_args!("again at step {} of opening, {way:?}", at + 1))
        };
        // No more is there than was before.
        let left = again.after_crash();
        ordeal.recovers(&*left, &ordeal.numbers()).await.map_err(found)?;
    }
    Ok(())
}

pub(crate) async fn reads_fail_and_are_right_the_next_time(context: &Context<'_>) -> Outcome {
    let made = made(faulty(context)?).await?;
    let counted = made.after_crash();
    let store = counted.open()?;
    let (course, before) = (Course::get(), counted.steps());
    let there = course.len() - 1;
    ensure!(O5, store.facts().capabilities.access == Access::ReadWrite, "it may only be read");
    course.models[there].expect(&store).await?;
    let total = (counted.steps() - before) as usize;
    let strike =
        |index: usize| Strike(Fault { after: index as u64, way: FaultWay::Undone, lasting: false });
    for (index, name) in chosen(total, 30, |index| strike(index).to_string()) {
        let place = made.after_crash();
        watched("D4", async move {
            let (model, store) = (&course.models[there], place.open()?);
            place.fail(Some(strike(index).0));
            match model.expect(&store).await {
                Err(failure) if !failure.answer().is_some_and(is_honest) => {
                    return Err(failure.found("a read where one failed").breaks("D4"));
                }
                _ => {}
            }
            let struck = place.struck();
            place.fail(None);
            let again = model.expect(&store).await;
            again.map_err(|it| it.found(format_args!("after {struck:?}, again")).breaks("D4"))
        })
        .again(&name)?;
    }
    Ok(())
}
