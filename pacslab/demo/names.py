"""Names of people who don't exist, as they are written in many parts of the world.

Faker draws them; the same names come only from the same version of Faker.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from faker import Faker

from pacslab.demo.chance import Chance


@dataclass(frozen=True, slots=True)
class Person:
    """A patient's and a physician's name as PN values, and the character set that writes both.

    ``character_set`` holds the values of (0008,0005), PS3.3 C.12.1.1.2; empty for plain ASCII.
    """

    name: str
    physician: str
    character_set: tuple[str, ...]


# Locale, weight, values of Specific Character Set.
_SCRIPTS: Final = (
    ("en_US", 30, ()),
    ("de_DE", 10, ("ISO_IR 100",)),
    ("fr_FR", 8, ("ISO_IR 100",)),
    ("es_ES", 8, ("ISO_IR 100",)),
    ("sv_SE", 5, ("ISO_IR 100",)),
    ("el_GR", 6, ("ISO_IR 126",)),
    ("ru_RU", 6, ("ISO_IR 144",)),
    ("ja_JP", 8, ("", "ISO 2022 IR 87")),
    ("zh_CN", 8, ("GB18030",)),
    ("ar_AA", 6, ("ISO_IR 192",)),
    ("ko_KR", 5, ("", "ISO 2022 IR 149")),
)

# Faker is seeded and then asked; nobody else may ask in between.
_asking = threading.Lock()


@cache
def _faker() -> Faker:
    return Faker([locale for locale, _, _ in _SCRIPTS])


def person(chance: Chance, sex: str) -> Person:
    """A person of that sex (``M`` or ``F``)."""
    locale, _, character_set = chance.one_of(_SCRIPTS, [weight for _, weight, _ in _SCRIPTS])
    physician_sex = chance.one_of("MF")
    with _asking:
        generator = _faker()[locale]
        generator.seed_instance(chance.integer())
        return Person(
            _name(generator, locale, sex), _name(generator, locale, physician_sex), character_set
        )


def _name(generator: Any, locale: str, sex: str) -> str:
    kind = "male" if sex == "M" else "female"
    if locale == "ja_JP":
        family = generator.last_name_pair()
        given = getattr(generator, f"first_name_{kind}_pair")()
        roman, written, spoken = (f"{family[i]}^{given[i]}" for i in (2, 0, 1))
        return f"{roman}={written}={_hiragana(spoken)}"
    given = getattr(generator, f"first_name_{kind}")()
    family = getattr(generator, f"last_name_{kind}")()
    if locale == "zh_CN":
        while not all(sign in _PINYIN for sign in given):
            given = getattr(generator, f"first_name_{kind}")()
        family = generator.random_element(tuple(_SURNAMES))
        read = "".join(_PINYIN[sign] for sign in given)
        return f"{_SURNAMES[family]}^{read.capitalize()}={family}^{given}"
    if locale == "ko_KR":
        return f"{_KOREAN.get(family) or _romanized(family)}^{_romanized(given)}=={family}^{given}"
    return f"{family}^{given}"


def _hiragana(katakana: str) -> str:
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in katakana)


def _romanized(hangul: str) -> str:
    """Syllables taken apart as Unicode composes them (chapter 3.12) and read letter by letter."""
    read = ""
    for syllable in hangul:
        first, rest = divmod(ord(syllable) - 0xAC00, 588)
        read += _INITIAL[first] + _MEDIAL[rest // 28] + _FINAL[rest % 28]
    return read.capitalize()


_KOREAN: Final = {"김": "Kim", "이": "Lee", "박": "Park", "최": "Choi", "정": "Jung", "노": "Noh"}
# Initial consonants, vowels and final consonants in Unicode's order.
_LETTERS: Final = """\
g,kk,n,d,tt,r,m,b,pp,s,ss,,j,jj,ch,k,t,p,h
a,ae,ya,yae,eo,e,yeo,ye,o,wa,wae,oe,yo,u,wo,we,wi,yu,eu,ui,i
,k,k,k,n,n,n,t,l,k,m,p,l,l,p,l,m,p,p,t,t,ng,t,t,k,t,p,h"""
_INITIAL, _MEDIAL, _FINAL = (line.split(",") for line in _LETTERS.splitlines())

_SURNAMES: Final = {
    "王": "Wang", "李": "Li", "张": "Zhang", "刘": "Liu", "陈": "Chen", "杨": "Yang",
    "黄": "Huang", "吴": "Wu", "赵": "Zhao", "周": "Zhou", "徐": "Xu", "孙": "Sun",
    "马": "Ma", "朱": "Zhu", "胡": "Hu", "林": "Lin", "郭": "Guo", "何": "He",
    "高": "Gao", "罗": "Luo",
}  # fmt: skip
_SIGNS: Final = (
    "东丹丽云亮伟佳俊倩健兰兵军冬凤凯刚利勇华博国坤娜娟婷宁宇小岩峰帅帆平建强彬志想慧成敏文斌旭明春晨晶杨"
    "杰林柳桂梅楠欢欣波洁洋浩海涛淑燕玉玲珍琳琴瑜瑞璐畅磊秀红艳芝花芳英荣莉莹萍超辉金鑫阳雪雷霞静颖飞香鹏龙"
)
_READ: Final = """
    dong dan li yun liang wei jia jun qian jian lan bing jun dong feng kai gang li yong hua bo guo
    kun na juan ting ning yu xiao yan feng shuai fan ping jian qiang bin zhi xiang hui cheng min
    wen bin xu ming chun chen jing yang jie lin liu gui mei nan huan xin bo jie yang hao hai tao
    shu yan yu ling zhen lin qin yu rui lu chang lei xiu hong yan zhi hua fang ying rong li ying
    ping chao hui jin xin yang xue lei xia jing ying fei xiang peng long
"""
_PINYIN: Final = dict(zip(_SIGNS, _READ.split(), strict=True))
