"""Names that are told by a list: countries and large cities; given names that are common where English, Spanish, German, French,
Italian, Indian, Chinese, Japanese and Arabic names are.
"""

# ruff: noqa: SIM905 - lists of names are easier to read and to mend as text

from __future__ import annotations

from typing import Final

CITIES_AND_COUNTRIES: Final = frozenset(
    """
    afghanistan|albania|algeria|argentina|australia|austria|bangladesh|belgium|bolivia|brazil|bulgaria|cambodia|cameroon|canada
    |chile|china|colombia|croatia|cuba|cyprus|czech republic|czechia|denmark|ecuador|egypt|england|estonia|ethiopia|europe|finland
    |france|germany|ghana|greece|guatemala|hungary|iceland|india|indonesia|iran|iraq|ireland|israel|italy|jamaica|japan|kazakhstan
    |kenya|korea|latvia|lebanon|libya|lithuania|luxembourg|malaysia|malta|mexico|mongolia|morocco|nepal|netherlands|new zealand
    |nicaragua|nigeria|norway|pakistan|panama|paraguay|peru|philippines|poland|portugal|qatar|romania|russia|rwanda|saudi arabia
    |scotland|senegal|serbia|singapore|slovakia|slovenia|somalia|south africa|south korea|spain|sri lanka|sudan|sweden|switzerland
    |syria|taiwan|tanzania|thailand|tunisia|turkey|uganda|ukraine|united kingdom|united states|uruguay|venezuela|vietnam|wales
    |yemen|zambia|zimbabwe|africa|asia|america|north america|south america|antarctica|california|texas|florida|bavaria
    |amsterdam|athens|atlanta|auckland|baghdad|bangalore|bangkok|barcelona|beijing|belgrade|berlin|bogota|boston|brussels|bucharest
    |budapest|buenos aires|cairo|cape town|chicago|copenhagen|dallas|delhi|dhaka|dubai|dublin|edinburgh|frankfurt|geneva|hamburg
    |hanoi|helsinki|hong kong|houston|istanbul|jakarta|jerusalem|johannesburg|karachi|kyiv|kyoto|lagos|lima|lisbon|london
    |los angeles|lyon|madrid|manchester|manila|marseille|melbourne|mexico city|miami|milan|montreal|moscow|mumbai|munich|nairobi
    |naples|new delhi|new york|osaka|oslo|ottawa|paris|philadelphia|prague|rio de janeiro|riyadh|rome|san francisco|santiago
    |sao paulo|seattle|seoul|shanghai|shenzhen|sofia|stockholm|sydney|tehran|tel aviv|tokyo|toronto|vancouver|vienna|warsaw
    |washington|zagreb|zurich
    """.replace("\n    ", "")
    .strip()
    .split("|")
)
FIRST_NAMES: Final = frozenset(
    """
    aaron ada adam ahmed aisha akira alan albert alejandro alex alexander alice ali amanda amy ana andrea andreas andrew
    andrey angela anita anna anne anthony antonio arthur barbara ben benjamin bernard betty bill bjarne bob brian bruce
    carl carla carlos carol caroline catherine charles charlotte chen chris christian christina christine christopher
    claire claude claudia daniel david dennis diana diego dmitri donald dorothy douglas edgar edith edsger edward elena
    elizabeth ellen emily emma eric erik ernst eva evelyn fatima felix fernando florence francis francesca francisco
    frank franz fred frederick friedrich gabriel george gerald giovanni giulia giuseppe gottfried grace greg guido hans
    harold heinrich helen henri henry herbert hiroshi hugo ian ingrid irene isaac isabel isabella ivan jack jacob
    jacques james jan jane jason jean jeff jennifer jeremy jessica joan johann john jonathan jorge jose joseph joshua
    juan judith julia julian karen karl kate katherine kathleen keith ken kenji kenneth kevin klaus kumar larry laura
    lee leon leonardo leonhard leslie li lin linda linus lisa louis louise lucas lucy luis luigi luke maria marie mario
    mark martha martin mary matthew max maya mei michael michelle miguel mohammed mohamed nancy natalie neil niels
    nicolas nikola nina noah noam nora oliver olivia oscar pablo patricia patrick paul pedro peter philip pierre priya
    rachel rahul raj ralph raymond rebecca richard robert roger ronald rosa ruth ryan samuel sandra sanjay sara sarah
    satoshi scott sergei sharon simon sofia sophie stefan stephen steve steven sun susan takashi tara terry theodore
    thomas tim timothy tom tony ulrich ursula vera victor victoria viktor vincent virginia vladimir walter wang wei
    werner william wolfgang yann yoko yuki yusuf zhang zoe
    """.split()
)
