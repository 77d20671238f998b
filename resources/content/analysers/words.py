"""Word lists of the analysers: English, lower case. Short, checked by eye on the documentation of Python packages."""

# ruff: noqa: SIM905 - lists of words are easier to read and to mend as text

from __future__ import annotations

STOP_WORDS = frozenset(
    """
    a about above across after again against ago all almost alone along already also although always am among an and
    another any anybody anyone anything anyway anywhere apart are aren't around as aside at away back be became
    because become becomes been before behind being below beneath besides better between beyond both but by came can
    can't cannot come comes could couldn't did didn't do does doesn't doing don't done down during each either else
    enough etc even ever every everybody everyone everything everywhere except far few first for former forth four
    from further furthermore get gets getting give given gives giving go goes going gone got had hadn't half happen
    happens has hasn't have haven't having he hello hence her here hers herself hi him himself his how however i i'd
    i'll i'm i've ie if in indeed inside instead into is isn't it it'd it'll it's its itself just keep keeps kept last
    later latter least less lest let let's lets like likely little look looking looks lot lots made mainly make makes
    making many may maybe me mean means meanwhile might mine more moreover most mostly much must my myself namely near
    nearly need needs neither never nevertheless next no nobody none nor not nothing now nowhere of off often oh ok
    okay old on once one ones only onto or other others otherwise ought our ours ourselves out outside over own per
    perhaps please plus possible probably put quite rather re really regarding said same saw say saying says second
    see seem seems seen several shall she should shouldn't since six so some somebody somehow someone something
    sometimes somewhere soon still such sure take taken takes taking than thank thanks that that's the their theirs
    them themselves then thence there there's therefore these they they're thing things think third this those though
    three through throughout thus to together too took toward towards tried tries try trying twice two under unless
    unlike until up upon us use used useful uses using usually various very via was wasn't way ways we we'd we'll
    we're we've well went were weren't what what's whatever when whenever where whereas wherever whether which while
    who whoever whole whom whose why will with within without won't would wouldn't yes yet you you'd you'll you're
    you've your yours yourself yourselves zero eg vs e.g i.e etc. don doesn isn ll ve didn won
    """.split()
)
"""Words that carry grammar, not meaning."""

VERBS = frozenset(
    """
    notify answer win rebuild adopt welcome deploy migrate delete accept accepts accepted achieve act adapt add added
    adding adds adjust affect aim allow allowed allowing allows appear appears append apply applied applies applying
    arise ask assign assume attach attempt avoid avoids aware based began begin begins behave believe bring brings
    builds building built bundle bundled called calling calls carry cause caused causes changed changes changing
    checked checking checks choose chosen click close closed combine compare compares complete comprises consider
    considered consist consists contact contain contained containing contains continue contribute contributes
    contributed controls convert converted converts cover covers create created creates creating deal decide declare
    declared declares define defined defines defining deliver depend depended depending depends deprecate deprecated
    describe described describes designed determine develop developed differ disable disabled discover discuss display
    displayed distributed documented download drop dropped emit emits enable enabled enables enabling encounter
    encourage end ends ensure ensures ensuring enter evaluate exist existing exists expand expect expected explain
    explained explore expose exposed exposes extend extended extends fail failed fails feel figure fill find finds
    finish fit fix fixed fixes fixing focus follow followed following follows force found generate generated generates
    generating goes grab grow handle handled handles handling happen hear help helped helping helps hide hold holds
    hope identify ignore ignored implement implemented implementing implements imply imported importing imports
    improve improved improves improving include included includes including increase indicate inherit initialize
    insert inspect install installed installing installs intend intended interact introduce introduced introduces
    invoke invoked involve involved issue join keep know known lack launch lead leads learn learned leave leaves
    leaving left let lets leverage leverages listed lives loaded loading loads look lose maintain maintained manage
    managed manages managing mark marked matches matter meant measure meet mention merge merged mix modify modified
    move moved moving named needed note noted notice obtain occur occurs offer offered offers omit open opened operate
    opt override overrides pass passed passes passing perform performed performs performing pick place placed play
    points populate prefer prepare present presented prevent prevents print prints proceed produce produced produces
    propose prove provide provided provides providing publish published pull push puts raise raised raises raising
    reach read reads realize receive received receives recommend recommended reduce reduced refer referenced refers
    regard register registered reject relate related released rely relies remain remains remember remove removed
    removes removing rename renamed render rendered replace replaced replaces represent represented represents require
    required requires requiring resolve resolved respect respond restore resulting results retrieve return returned
    returning returns reuse review rewrite run running runs save saved saves select selected send sends sent serve
    serves sets setting share shared ship shipped ships show shown shows simplify skip skipped solve solved sort
    specified specifies specify speed spend split start started starting starts stay stick stop stopped stops stored
    stores submit suggest suit suited supply support supported supporting supports suppose switch take talk tell tells
    tend tested think throw thrown treat treated trigger triggered turn turned turns understand understood updated
    updates updating upgrade used validate verify visit wait walk want wanted wants warn watch wish wishes work worked
    working works worry wrap wrapped wraps write writes writing written wrote deploys deployed came inspired powered
    tuned aims makes stands comes sits speaks keeps behaves consumes clone cloned
    accumulate belong boil bought broke burn complicate converge diverge elect estimate float fold happen infer maximise
    maximize minimise minimize necessitate paid pay pour praise presuppose publish smell stand tend want
    """.split()
)
"""Forms of verbs that documentation is full of: they end a noun phrase."""

NOUNS_AND_VERBS = frozenset(
    """
    build call change check control copy design import list load match plan point range release report result search set
    store update view
    """.split()
)
"""Nouns at the end of a phrase (`event store`, `function call`), verbs at its beginning (`store the event`)."""

GENERIC = frozenset(
    """
    able above absolute accordingly actual additional advanced alternative amount anything appropriate approach
    arbitrary aspect available bad basic basically best better big bit brief bug bugs case cases certain changelog
    chapter clean clear clearly code common commonly complete completely complex concept concise consistent content
    contents contributor contributors convenience convenient correct correctly corresponding couple credit credits
    current currently custom daily date day days default defaults demo detail detailed details different difference
    differences directly docs documentation documents doc easier easily easy effective efficient efficiently entire
    equivalent essential example examples exact exactly explicit explicitly external extra extremely fact faq fast
    faster favorite feature features feedback final fine flexible format free frequently friendly full fully fun
    future general generally generic goal goals good great greater guide guides handy hard heavy high highly history
    home huge hundred idea ideal immediately important individual info information initial installation instruction
    instructions interesting internal introduction issues item items job key kind kinds large larger largest late
    latest license licence line lines link links list lists local long longer low lower main maintainer maintainers
    major manual material max maximum member minimal minimum minor minute minutes modern module modules month multiple
    name names native natural necessary new newer newest nice normal normally note notes notice number numbers obvious
    official older optional option options order original overall overview package packages page pages paragraph part
    particular particularly parts past people performance person piece pieces place plain planned point popular
    possibility potential powerful practical practice pre previous previously primary prior problem problems progress
    project projects proper properly purpose purposes question questions quick quickly quickstart raw readme ready
    real reason reasons recent recently reference references regular relevant reliable remaining repo repository
    requirement requirements respective rest right robust rough safe sample section sections self sense separate
    separately series short side significant significantly similar similarly simple simpler simplest simply single
    size slightly slow small smaller snippet software solution solutions special specific specifically stable standard
    start status step steps straightforward strict strong stuff style subject subset sufficient suitable summary
    supported sweet table task tasks technical term terms text thousand tip tips title todo top topic total
    traditional true tutorial tutorials type types typical typically underlying unique unless usage user users usual
    valid value values variety version versions warning week wide widely word words world worth wrong year years
    yourself false null none github gitlab pypi pip npm readthedocs badge badges logo screenshot travis conda sponsor
    sponsors sponsorship copyright fork star stars author authors mit apache bsd gpl gnu january february march april
    may june july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec monday
    tuesday wednesday thursday friday saturday sunday today thing lightweight easy-to-use open-source built-in
    high-level low-level third-party drop-in up-to-date full-featured well-known high-performance additionally
    alternatively automatically effectively entirely especially eventually finally fortunately hopefully importantly
    internally literally merely naturally necessarily nicely originally possibly potentially practically precisely
    presumably primarily pretty purely readily reasonably respectively seamlessly smoothly sort specially successfully
    thoroughly transparently truly ultimately unfortunately actively heavily dynamically statically manually
    optionally conveniently natively remotely fairly
    """.split()
)
"""Words that say little alone, and nothing about a subject at the edge of a phrase."""

VAGUE = frozenset(
    """
    action addition argument article attribute base behavior behaviour block body box building button callback center
    character choice client color column command comment community company component configuration connection
    construct contribution conversion count data date dependency description design developer development device
    directory discussion distribution domain edge effect effort element environment error event execution experience
    expression extension extra field file filter flag folder form frame framework friend function functionality group
    guideline handler head header helper identifier implementation improvement input instance integration interface
    label language layer layout length level library limit limitation literal location log logic loop machine manager
    map marker message method mode monitor object operation output owner package parameter parent participation path
    pattern permission platform plugin policy position prefix process product production programming property provider
    question record recommendation region release request resource response result return role root route row rule
    runtime sample scenario scheme scope score screen script selection sequence server service session set setting
    setup shape shell signature site source space spec specification stage statement storage string structure
    subscription suffix suite support surface symbol system tag target team template test testing theme thread tool
    toolkit track transition tree unit variable wheel website widget window wrapper writer builder
    """.split()
)
"""Nouns that name no concept alone, but do within a phrase (`file system`, `event loop`)."""

CUES = frozenset(
    """
    important importantly conclusion summary therefore thus result results shows means key main goal purpose provides
    is-a library framework significant because finally overall essentially definition defined refers called known
    """.split()
)
TRANSITIONS = frozenset(
    """
    however therefore moreover furthermore consequently additionally meanwhile nevertheless thus hence instead
    otherwise finally first second third next then also similarly likewise although because since while whereas
    accordingly
    """.split()
)
PRONOUNS = frozenset("it its they them their this these those he she his her which that".split())
HEDGES = frozenset("maybe perhaps possibly probably supposedly allegedly guess rumour rumor unclear unverified".split())
EVIDENCE = frozenset(
    "according study studies measured evidence data research published specification standard rfc iso tested verified".split()
)
PLACEHOLDERS = ("lorem ipsum", "todo", "tbd", "fixme", "xxx", "your text here", "insert here", "placeholder")
ABSTRACT_ENDINGS = ("tion", "sion", "ness", "ment", "ance", "ence", "ity", "ism", "ship", "ology", "ics")
TECHNICAL_ENDINGS = (
    "tion",
    "ology",
    "metry",
    "graph",
    "gram",
    "ware",
    "lysis",
    "ithm",
    "izer",
    "iser",
    "parser",
    "base",
    "tics",
)
DOMAIN_WORDS = frozenset(
    """
    algorithm api architecture array asynchronous authentication authorization backend binary bytecode cache class
    client cluster compiler complexity concurrency container coroutine cryptography database dataset debugger
    decorator dependency derivative deserialization distributed encoding encryption endpoint equation event exception
    filesystem function gradient graph hash http index inference inheritance integral interface iterator kernel lambda
    latency library matrix memory metadata middleware model multithreading mutex network neural object ontology
    operator optimization orchestration parallel parser polynomial polymorphism probability process protocol proxy
    query queue recursion regression replication runtime schema scheduler semantic serialization server socket
    statistics stream string syntax tensor theorem thread throughput token topology transaction transformer tree tuple
    unicode validation variable vector websocket workflow
    """.split()
)
