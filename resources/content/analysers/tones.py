"""Words with a tone, in English: -2 to 2. Technical words that only sound bad (error, kill, dead) are left out on purpose."""

# ruff: noqa: SIM905 - lists of words are easier to read and to mend as text

from __future__ import annotations

from typing import Final

_STRONG = (
    "amazing awesome beautiful brilliant delightful excellent exceptional exceptionally fantastic flawless great impressive "
    "incredible incredibly love loved loves marvellous outstanding perfect perfectly superb terrific wonderful best "
    "delighted thrilled remarkable stunning"
).split()
_GOOD = (
    "accurate advantage advantages appreciate appreciated beneficial benefit benefits better bright calm charming clean "
    "clear comfortable confident convenient convincing delicious easy easily effective efficient elegant enjoy enjoyed "
    "enjoys enjoyable excited exciting fast favourite favorite fine friendly fun generous glad good gracious happy happily "
    "healthy helpful helped honest improve improved improves improvement improvements innovative intuitive kind lovely "
    "lucky nice patient pleasant pleased pleasure polished popular positive powerful praise praised productive promising "
    "proud reliable recommend recommended rewarding robust safe satisfied simple smart smooth smoothly solid succeed "
    "success successful successfully thank thanks thoughtful trust trusted useful valuable welcome welcoming win "
    "winner wins won worth worthwhile"
).split()
_BAD = (
    "annoyed annoying angry ashamed awkward bad badly boring broken careless clumsy complain complained complaint confused "
    "confusing costly crash crashed crashes dangerous defective delay delayed delays difficult difficulty dirty disappoint "
    "disappointed disappointing disappointment doubt doubtful dull embarrassing expensive fail failed fails fear frustrated "
    "frustrating frustration harm harmful hurt inaccurate inconvenient incomplete inferior insecure insufficient lack "
    "lacking lacks lose loses losing lost mediocre mess messy miss mistake mistakes negative noisy obscure pain painful "
    "poor poorly problem problems regret rejected ridiculous rude sad sadly scared shame sick slow slowly sorry struggle "
    "struggled suffer suffered suffers tedious tired trouble troubles ugly unclear unfair unfortunate unfortunately unhappy "
    "unpleasant unreliable unsafe unstable unsuccessful upset useless vulnerable waste wasted weak weakness worried worry "
    "wrong"
).split()
_DIRE = (
    "abysmal appalling atrocious awful catastrophe catastrophic despise disaster disastrous disgusting dreadful hate hated "
    "hates hideous horrible horrific nightmare pathetic terrible terribly terrifying unacceptable unbearable unusable worst "
    "worthless"
).split()

VALENCE: Final[dict[str, int]] = {
    **dict.fromkeys(_GOOD, 1),
    **dict.fromkeys(_STRONG, 2),
    **dict.fromkeys(_BAD, -1),
    **dict.fromkeys(_DIRE, -2),
}
NEGATIONS: Final = frozenset(
    "not no never none nothing neither nor without hardly barely scarcely isn't wasn't aren't weren't don't doesn't didn't can't "
    "cannot couldn't won't wouldn't shouldn't hasn't haven't hadn't".split()
)
INTENSIFIERS: Final = frozenset("very really extremely so too highly absolutely completely totally deeply".split())
