"""Words for the parts of a body in the languages in which rigs are named, and the sides of one."""

from __future__ import annotations

import re
import unicodedata

SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}

# English word: the same in German, French, Spanish, Italian, Portuguese, without accents. A word that stands for
# several joints ("Bein", "jambe") is the English one that does too.
_LATIN = {
    "left": "links linke linker linkes gauche izquierda izquierdo izq sinistra sinistro esquerda esquerdo",
    "right": "rechts rechte rechter rechtes droite droit derecha derecho destra destro direita direito",
    "pelvis": "becken huefte hufte huften bassin hanches cadera caderas bacino quadril",
    "spine": "wirbelsaule wirbelsaeule ruckgrat rueckgrat rucken colonne columna colonna coluna dos espalda schiena",
    "chest": "brust brustkorb oberkorper oberkoerper poitrine torse pecho torace peito",
    "neck": "hals nacken cou cuello collo pescoco",
    "head": "kopf tete cabeza testa cabeca",
    "clavicle": "schlusselbein schluesselbein clavicule clavicula clavicola",
    "shoulder": "schulter epaule hombro spalla ombro",
    "upperarm": "oberarm armoben brassuperieur brazosuperior",
    "forearm": "unterarm avantbras antebrazo avambraccio antebraco",
    "arm": "bras brazo braccio braco",
    "elbow": "ellbogen ellenbogen coude codo gomito cotovelo",
    "wrist": "handgelenk poignet muneca polso pulso",
    "hand": "main mano mao",
    "thigh": "oberschenkel cuisse muslo coscia coxa",
    "shin": "unterschenkel schienbein wade tibia mollet espinilla pantorrilla stinco polpaccio canela",
    "leg": "bein jambe pierna gamba perna",
    "hip": "hanche anca",
    "knee": "knie genou rodilla ginocchio joelho",
    "ankle": "knochel knoechel fussgelenk sprunggelenk cheville tobillo caviglia tornozelo",
    "foot": "fuss pied pie piede pe",
    "toe": "zeh zehe zehen fussspitze orteil orteils dedos dedopie dita punta dedosdope",
}
# Longer ones are found first. "ashi" is the leg beside a knee (Japanese) and the foot beside a thigh (Chinese).
_OTHER = {
    "left": "左 왼쪽 왼 левый левая левое лев",
    "right": "右 오른쪽 오른 правый правая правое прав",
    "center": "センター 全ての親 グルーブ",
    "lowerbody": "下半身",
    "spine": "上半身 脊柱 脊椎 脊骨 脊 腰椎 腰部 腰 척추 허리 позвоночник спина",
    "chest": "胸部 胸椎 上胸 胸 가슴 грудь",
    "pelvis": "骨盆 盆骨 臀部 臀 髋部 骨盤 골반 엉덩이 таз",
    "neck": "脖子 颈部 頸部 颈椎 颈 頸 首 목 шея",
    "head": "头部 頭部 头 頭 머리 голова",
    "clavicle": "锁骨 鎖骨 쇄골 ключица",
    "shoulder": "肩膀 肩部 肩 어깨",
    "upperarm": "上臂 大臂 上腕 위팔 상완 плечо",
    "forearm": "前臂 小臂 下臂 前腕 下腕 아래팔 전완 предплечье",
    "elbow": "手肘 肘部 肘 ひじ ヒジ 팔꿈치 локоть",
    "wrist": "手腕 手首 腕关节 손목 запястье",
    "arm": "手臂 胳膊 臂 腕 팔 рука",
    "hand": "手掌 手部 手 손 кисть",
    "hip": "髋关节 髋 股関節 고관절",
    "thigh": "大腿 上腿 太もも 허벅지 бедро",
    "shin": "小腿 下腿 すね 脛 종아리 정강이 голень",
    "knee": "膝盖 膝蓋 膝关节 膝 ひざ ヒザ 무릎 колено",
    "leg": "腿部 腿 다리 нога",
    "ankle": "脚踝 腳踝 足踝 踝关节 踝 脚腕 脚脖子 足首 발목 лодыжка щиколотка",
    "ashi": "脚 腳 足",
    "foot": "발 стопа ступня",
    "toe": "脚趾 腳趾 足趾 脚尖 腳尖 脚掌 腳掌 足尖 つま先 爪先 趾 발가락 발끝 носок пальцыноги",
    "finger": "指 손가락 палец",
    "twist": "捩 扭",
    "eye": "目 眼 눈 глаз",
    "tip": "先 末端 끝",
}
_TRANSLATED_LATIN = {word: english for english, words in _LATIN.items() for word in words.split()}
_TRANSLATED = {word: english for english, words in _OTHER.items() for word in words.split()}
_ANY_OTHER = re.compile("|".join(sorted(map(re.escape, _TRANSLATED), key=len, reverse=True)), re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_MAX_NAME = 200
"""Letters of a name that are read."""


def english_words(name: str) -> list[str]:
    """Split a joint's name into words in lower case, of other languages into the English ones.

    `LinkerOberschenkel` becomes `left`, `thigh`, and so do `Oberschenkel_L`, `左大腿` and `cuisse gauche`.
    """
    name = unicodedata.normalize("NFKC", name[:_MAX_NAME])
    if not name.isascii():
        name = _ANY_OTHER.sub(lambda match: f"_{_TRANSLATED[match[0].lower()]}_", name)
        decomposed = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
        name = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    words: list[str] = []
    for word in map(str.lower, _WORD.findall(name)):
        # "AvantBras" is one word, as "Unterarm" is.
        if words and words[-1] + word in _TRANSLATED_LATIN:
            word = words.pop() + word
        words.append(word)
    return [word if word in SIDES else _TRANSLATED_LATIN.get(word, word) for word in words]
