"""Short everyday words that made-up lyrics are written with; the choice is our own."""

_TEXT = """
all and arm ask ball band bank barn bat bell best bird boat bone book boot born box bread break
bring broke burn bus call calm camp can cap card care cat chain chalk clap clay clear cliff climb
clock close cloth cloud coal coast coat cold come cook cool corn cost could crop cross crowd cup
cut dance dark dawn day deep door dream dress drift drink drop drum dusk dust each east edge end
face fall far farm fast feel feet fell fence field fill find fire fish five flag flame flat float
flock floor flow fly fog fold folk food fool foot for fox free fresh frost full game gate gift
girl give glad glass glow go goat gold gone good grass green grow gull gust half hall hand hard
harp hat hay heart heat help hen her hill him hold home hood hook hope horn horse house hum hunt
hush ice in iron jar job jump just keep kept key kind king kiss kite knot lace lake lamb lamp land
lane lark last late laugh leaf leap left lend less let lid lift light like lime line lip list live
lock log long look loop lost loud love low luck made make man map march mark mask mast may meet
melt mend met milk mill mind mint mist moon more moss most moth much mud must nail name near neck
need nest net new next night nine noon north nose note now nut oak oil old on one open our out
over own pack page paint pale palm park part past path paw peel pen pine pink pipe plan plant play
plum pond pool poor port post pot pour pull pump push put rain ran red reed rest ring ripe rise
road rock roll roof room root rope rose run rush rust safe sail salt same sand sang save sea seed
seem send set shade shall sheep shell shine ship shore show shut sing sink sit six skin sky sleep
slow small smile smoke snow soft some song soon sound soup south spin spoon spring stand star stay
steam step still stone stood stop storm street string strong such sun swan sweet swim swing take
tall tell ten tent thin thing tide till time tin toast told took top town toy track train tree
true tune turn two under until up upon us walk wall want warm was wash wave way well went west wet
wheel when white who wide wild will win wind wine wing wish with wolf wood wool work yard year yes
you again alone amber apple arrow autumn away basket below berry better beyond blossom borrow
bottle butter button candle canyon carry cattle cedar circle city clover coffee corner cotton
cradle cricket crystal daylight evening ember engine ever falling feather fellow ferry fiddle
finger follow forest forget garden gentle ginger golden harbour harvest hazel hollow honey island
jacket kettle kitchen ladder lantern lemon letter lilac linen little lonely maple market meadow
melon middle mirror morning mountain never number olive orange orchard otter paper pebble pepper
pillow planet pocket poppy potato rabbit railway ribbon ripple river robin rumour saddle sailor
salmon seven shadow silver sister singing sorrow spider station stranger sugar summer sunday
supper table thunder timber today tomorrow tumble tulip turtle valley velvet village violet water
weather whisper willow window winter wonder yellow yesterday
"""

PLAIN_WORDS: tuple[str, ...] = tuple(_TEXT.split())
