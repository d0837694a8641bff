"""A sentence goes on behind the abbreviations of its language, and ends where it ended before."""

import pytest

from labse.corpus.sentence_splitting import split_sentences

WHOLE = """
eng	Dr. Smith met Mrs. Jones on St. James Street.
eng	See fig. 3 and pp. 10 to 12, vol. II of the work.
eng	Edgar F. Codd and J. R. R. Tolkien never met.
fra	M. Dupont et Mme. Curie habitent à St. Denis.
fra	Voir l'art. 5 de la loi et la p. 12 du livre.
fra	Mlle. Martin a vu Mgr. Lefort avec L. Martin.
deu	Hr. Meier wohnt in der Nr. 5, vgl. Abb. 3 und Kap. II.
deu	Das ist z. B. Frau Dr. Weber aus St. Gallen.
nld	Mevr. Smit en dhr. De Vries lazen blz. 12 met prof. Jansen.
dan	Bl.a. Aarhus er fin, siger hr. Hansen kl. 8 om morgenen.
nob	Møtet er kl. 19.30 i rom nr. 4, f.eks. Oslo med hr. Berg.
swe	Han kom kl. 8 idag, t.ex. Stockholm och dr. Berg, s. 12.
isl	Hr. Jón kom kl. 8 og las bls. 12.
ita	Vedi pag. 12 del libro del sig. Rossi e della dott.ssa Bianchi.
spa	El Sr. López y la Sra. Ruiz leen la pág. 12 y el art. 5 con D. Pedro.
por	D. Pedro II e a Sra. Silva leram a pág. 12 do Dr. Costa.
cat	El Sr. Puig i la Sra. Vila llegeixen la pàg. 12.
ron	Dl. Popescu și dna. Ionescu au citit art. 5 de la pag. 12.
pol	Św. Jan i prof. Kowalski mieszkają na ul. Długiej, zob. str. 12.
ces	Prof. Novák bydlí na nám. Míru, viz str. 12 a č. 5.
slk	Prof. Novák býva na ul. Dlhej, pozri str. 12.
slv	Dr. Novak in g. Kovač živita v št. 5.
hrv	Dr. Horvat i gđa. Kovač čitaju str. 12 na ul. Gradskoj.
srp	Др Петровић и г. Јовановић читају стр. 12.
bul	Проф. Иванов живее на ул. Раковски, вж. стр. 12.
rus	Проф. Иванов живёт на ул. Пушкина, см. стр. 12 и рис. 3.
ukr	Проф. Іваненко живе на вул. Шевченка, див. с. 12 та рис. 3.
lit	Prof. Kazlauskas gyvena Vilniaus g. Vilniuje, žr. p. 12.
lav	Prof. Bērziņš lasa lpp. 12 un Nr. 5.
est	Prof. Tamm luges lk. 12 ja nr. 5.
fin	Prof. Virtanen luki s. 12 ja nro. 5, esim. Helsingissä.
hun	Dr. Nagy és ifj. Kovács a Szt. István téren élnek.
tur	Prof. Yılmaz ve Av. Demir Atatürk Cad. Ankara adresinde, bkz. s. 12.
ell	Ο κ. Παπαδόπουλος και η δρ. Νικολάου διαβάζουν τη σελ. 12.
vie	TP. Hồ Chí Minh và ThS. Nguyễn Văn An rất đẹp.
ind	Tn. Hasan dan Prof. Budi tinggal di Jl. Merdeka no. 5, lihat hlm. 12.
msa	En. Ahmad dan Pn. Siti tinggal di Jln. Ampang no. 5.
tgl	Si G. Santos at si Gng. Cruz ay dumating kasama si Dr. Reyes.
swa	Bw. Juma na Bi. Asha walikuja na Dkt. Mushi.
hin	डॉ. शर्मा और श्री. गुप्ता और प्रो. वर्मा आए।
mar	प्रा. जोशी आणि डॉ. पाटील आणि श्री. कदम आले.
ben	ড. রহমান ও ডা. হাসান ও মো. আলী এলেন।
guj	ડૉ. પટેલ અને શ્રી. શાહ આવ્યા.
pan	ਡਾ. ਸਿੰਘ ਅਤੇ ਸ. ਗਿੱਲ ਆਏ।
tam	திரு. குமார் மற்றும் திருமதி. லதா வந்தார்கள்.
tel	డా. రావు మరియు శ్రీ. కుమార్ వచ్చారు.
kan	ಡಾ. ರಾವ್ ಮತ್ತು ಶ್ರೀ. ಕುಮಾರ್ ಬಂದರು.
mal	ഡോ. നായർ, ശ്രീ. കുമാർ എന്നിവർ വന്നു.
ara	د. أحمد و أ. محمد وصلوا إلى ص. 12 من الكتاب.
fas	د. احمدی و م. رضایی آمدند.
tha	ดร. สมชาย
epo	S-ro. Zamenhof legis p. 12 kun d-ro. Bein.
"""
CUT = """
eng	He said no.|Then he left.
eng	It was I.|He knew it.
eng	She lives in the U.S.|He lives in Canada.
eng	They came at 5 p.m.|It was late.
eng	He bought apples, pears, etc.|She bought none.
fra	Il est parti.|Elle est restée.
deu	Er kam um acht.|Sie ging.
nob	Han kom.|Hun gikk.
por	Ele foi.|Ela ficou.
pol	To jest on.|Ona przyszła.
rus	Это он.|Она пришла.
tur	O geldi.|Biz gittik.
hin	वह आया।|वह गया।
mar	तो आला.|ती गेली.
tam	அவன் வந்தான்.|அவள் போனாள்.
ara	وصل الرجل.|ذهبت المرأة.
vie	Tôi đi.|Anh ở lại.
ind	Dia datang.|Saya pergi.
"""


def cases(table: str) -> list[list[str]]:
    return [line.split("\t") for line in table.strip().splitlines()]


@pytest.mark.parametrize(("lang", "sentence"), cases(WHOLE))
def test_an_abbreviation_ends_no_sentence(lang: str, sentence: str) -> None:
    pytest.importorskip("sentencex")
    assert split_sentences(sentence, lang) == [sentence]


@pytest.mark.parametrize(("lang", "sentences"), cases(CUT))
def test_a_sentence_still_ends_at_its_end(lang: str, sentences: str) -> None:
    pytest.importorskip("sentencex")
    parts = sentences.split("|")
    assert split_sentences(" ".join(parts), lang) == parts
