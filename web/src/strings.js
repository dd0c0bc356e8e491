// Every sentence of the page: [English, Japanese]. {names} are filled in; the tests hold both sides to the same ones.

export const strings = {
  // Words used everywhere
  "space": [" ", ""],
  "skip": ["Skip to content", "本文へ移動"],
  "cancel": ["Cancel", "キャンセル"],
  "again": ["Try again", "もう一度試す"],
  "play": ["Play", "再生"],
  "pause": ["Pause", "一時停止"],
  "speed": ["Speed", "再生速度"],
  "copy": ["Copy", "コピー"],
  "copied": ["Copied", "コピーしました"],
  "copy.failed": ["Select it to copy", "選択してコピーしてください"],
  "delete": ["Delete", "削除"],
  "length.s": ["{s} s", "{s}秒"],
  "length.m": ["{m} min {s} s", "{m}分{s}秒"],
  "length.h": ["{h} h {m} min", "{h}時間{m}分"],
  "share.about": ["about {n} in 100", "100件中およそ{n}件"],
  "share.most": ["more than 99 in 100", "100件中99件以上"],
  "share.least": ["fewer than 1 in 100", "100件中1件未満"],
  "ratio.million": ["more than a million", "100万以上"],
  "p-fake.short": ["P(fake) {p}", "合成の確率 {p}"],

  // Header and footer
  "nav": ["Pages", "ページ"],
  "nav.home": ["Scan", "判定"],
  "nav.history": ["History", "履歴"],
  "nav.knowledge": ["Knowledge", "知識ベース"],
  "nav.drift": ["Drift", "傾向の変化"],
  "language": ["Language", "言語"],
  "language.en": ["English", "English"],
  "language.ja": ["日本語", "日本語"],
  "theme.dark": ["Dark", "ダーク表示"],
  "foot.limits": [
    "A verdict is evidence for a person to weigh, not a proof.",
    "判定結果は人が検討するための材料であり、証明ではありません。"],
  "foot.licences": ["Licences", "ライセンス"],
  "missing.title": ["There is no such page", "ページが見つかりません"],

  // Key
  "key.title": ["Access key", "アクセスキー"],
  "key.why": [
    "This server answers only those who have a key. Whoever runs it can give you one. It is kept until this tab is closed.",
    "このサーバーの利用にはキーが必要です。管理者から受け取ってください。キーはこのタブを閉じるまで保持されます。"],
  "key.field": ["Key", "キー"],
  "key.use": ["Use this key", "このキーを使う"],
  "key.wrong": ["The server does not know this key.", "このキーはサーバーに登録されていません。"],
  "key.needed": ["A key is needed to go on.", "続けるにはキーが必要です。"],
  "key.give": ["Give key", "キーを入力"],
  "key.forget": ["Forget key", "キーを消去"],

  // Problems of the server and of the way to it
  "problem.offline": [
    "The server does not answer. Check that it runs and that you are connected, then try again.",
    "サーバーが応答しません。サーバーが動いていることと接続を確認し、もう一度試してください。"],
  "problem.unknown": ["Something went wrong.", "問題が発生しました。"],
  "problem.unauthorised": ["The server wants a valid key.", "有効なキーが必要です。"],
  "problem.forbidden": ["Your key does not allow this.", "このキーではこの操作は許可されていません。"],
  "problem.rate-limited": [
    "Too much at once. Wait a minute, then try again.",
    "要求が多すぎます。少し待ってから、もう一度試してください。"],
  "problem.no-such-analysis": [
    "There is no such analysis; it may have been deleted.",
    "この判定結果は見つかりません。削除された可能性があります。"],
  "problem.not-kept": [
    "The recording itself is no longer on this server, so it cannot be played here.",
    "録音そのものはサーバーに残っていないため、再生できません。"],
  "problem.not-playable": ["This cannot be played here.", "ここでは再生できません。"],
  "problem.too-big": [
    "The file is larger than this server takes. Send a shorter part of it.",
    "ファイルがこのサーバーの上限を超えています。短く切り出して送ってください。"],

  // First page
  "home.title": ["Is this voice human?", "この声は人間のものですか"],
  "home.lead": [
    "Give recordings. Each gets a verdict with its reasons, and a timeline of where it sounds synthetic.",
    "録音を渡すと、理由を添えた判定と、どこが合成音声らしく聞こえるかの時間軸を表示します。"],
  "home.drop": ["Drop recordings here", "ここに録音ファイルをドロップ"],
  "home.choose": ["Choose files", "ファイルを選ぶ"],
  "home.formats": [
    "WAV, MP3, M4A, FLAC, Ogg, Opus, AMR, WebM and the sound of videos; several at once.",
    "WAV、MP3、M4A、FLAC、Ogg、Opus、AMR、WebM、動画の音声に対応しています。複数同時に選べます。"],
  "home.limit": ["At most {size} each.", "1件あたり{size}まで。"],
  "home.list": ["Your recordings", "送った録音"],
  "home.clear": ["Clear finished ones", "完了したものを消す"],
  "home.keep.here": [
    "Recordings go to this server and nowhere else.",
    "録音の送り先はこのサーバーだけで、他へは送られません。"],
  "keep.nothing": ["It deletes each as soon as it is heard.", "判定が終わると録音は削除されます。"],
  "keep.day": ["It keeps them for a day.", "録音は1日間保存されます。"],
  "keep.days": ["It keeps them for {n} days.", "録音は{n}日間保存されます。"],
  "keep.forever": ["It keeps them until they are deleted.", "録音は削除されるまで保存されます。"],
  "state.waiting": ["Waiting", "待機中"],
  "state.sending": ["Sending, {p}", "送信中 {p}"],
  "state.queued": ["In the queue", "順番待ち"],
  "state.running": ["Being heard", "解析中"],
  "state.hearing": ["Heard {p}", "解析中 {p}"],

  // Options
  "options": ["Options", "オプション"],
  "options.prior": ["Prior, in percent", "事前確率（%）"],
  "options.prior.hint": [
    "Of what you listen to, which share is fake before you hear it? 50 if you cannot say.",
    "聞く前の段階で、対象の録音のうち何%が合成音声だと見込みますか。分からなければ50のままにしてください。"],
  "options.model": ["Model", "モデル"],
  "options.model.default": ["The server's own choice", "サーバーの既定"],
  "options.watermark": ["Watermark to look for", "調べる電子透かし"],
  "options.watermark.none": ["None", "なし"],
  "options.watermark.hint": ["Says who marked a recording, not whether it is fake.", "誰が印を付けたかを示すもので、合成かどうかは示しません。"],
  "options.knowledge": ["Compare with known recordings", "既知の録音と比べる"],
  "options.knowledge.hint": ["Takes labelled recordings that sound alike into account.", "よく似たラベル付きの録音も判定に加味します。"],
  "options.attribution": ["Guess the generator", "生成元を推定する"],
  "options.attribution.hint": ["Which generator it sounds like, if it is fake. A hint only.", "合成音声だった場合に、どの生成器に似ているかの手がかりです。"],

  // Microphone
  "record.start": ["Record from microphone", "マイクで録音"],
  "record.stop": ["Stop and judge", "停止して判定"],
  "record.hint": ["Or let it listen to what is playing.", "流れている音声を聞かせることもできます。"],
  "record.running": ["Recording", "録音中"],
  "record.first": ["The first verdict comes in a few seconds.", "最初の判定まで数秒お待ちください。"],
  "record.no-live": ["The verdict comes when you stop.", "判定は録音を止めたあとに表示されます。"],
  "record.name": ["recording", "録音"],
  "record.denied": [
    "The browser does not allow the microphone. Allow it in the address bar, then try again.",
    "マイクの使用が許可されていません。アドレスバーで許可してから、もう一度試してください。"],
  "record.failed": ["No microphone could be opened.", "マイクを開けませんでした。"],
  "record.lost": [
    "The running verdict has stopped; the recording goes on and is judged at the end. {why}",
    "途中経過の判定が止まりました。録音は続いており、停止後に判定されます。{why}"],
  "record.impossible": [
    "Recording needs HTTPS (or this machine's own address) and a browser with a microphone.",
    "録音には、HTTPS接続（またはこの端末自身のアドレス）とマイクを使えるブラウザーが必要です。"],

  // Verdicts
  "verdict.fake": ["fake", "合成"],
  "verdict.genuine": ["genuine", "本物"],
  "verdict.uncertain": ["uncertain", "判定不能"],
  "verdict.no-speech": ["no speech", "発話なし"],
  "verdict.error": ["error", "エラー"],
  "says.fake": ["Sounds synthetic", "合成音声と思われます"],
  "says.genuine": ["Sounds genuine", "本物の声と思われます"],
  "says.uncertain": ["Cannot tell", "どちらとも言えません"],
  "says.no-speech": ["Nobody speaks", "話し声がありません"],
  "says.error": ["Could not be judged", "判定できませんでした"],
  "chances": [
    "Of recordings like this, at a prior of {prior}, {share} are fake.",
    "事前確率を{prior}とすると、このような録音は{share}が合成音声です。"],
  "not-calibrated": [
    "This model is not calibrated: its numbers rank recordings, they are no probabilities.",
    "このモデルは較正されていません。数値は順位付けの目安であり、確率ではありません。"],
  "uncertain.between": [
    "That is too little for an answer either way.",
    "どちらかに判定するには根拠が足りません。"],
  "uncertain.window": [
    "As a whole it sounds genuine, but the stretch from {start} to {end} by itself sounds synthetic.",
    "全体としては本物らしく聞こえますが、{start}から{end}までの部分だけを聞くと合成音声らしく聞こえます。"],
  "limits.fake": [
    "It does not say who made it or why, nor whether what is said is true. Genuine speech that went through a voice changer or a neural codec counts as synthetic.",
    "誰がなぜ作ったか、話の内容が事実かどうかは分かりません。本物の声でも、ボイスチェンジャーやニューラルコーデックを通したものは合成とみなされます。"],
  "limits.genuine": [
    "Nothing that the model knows speaks for a synthetic voice. It is no certificate: new generators can escape it, and so can a single changed word.",
    "モデルが知るかぎり、合成を示す特徴は見つかりませんでした。本物であることの証明ではなく、新しい生成器や一語だけの差し替えは見逃すことがあります。"],
  "limits.uncertain": [
    "Do not report this as either. A longer or cleaner copy, or one closer to the source, may give an answer.",
    "どちらの結論としても扱わないでください。より長い録音や、より鮮明で元に近い録音なら判定できることがあります。"],
  "limits.no-speech": [
    "So there is nothing to judge: this says neither fake nor genuine.",
    "判定の対象がないため、合成とも本物とも言えません。"],
  "limits.error": ["This says nothing about the voice.", "声については何も分かりません。"],
  "why.no-speech": [
    "Less than half a second of speech was found. Noise, tones and music are not judged; whispers and heavily masked speech may end here too.",
    "話し声が0.5秒未満しか見つかりませんでした。雑音や音楽は判定しません。ささやき声や雑音に埋もれた声もここに含まれることがあります。"],
  "why.silence": ["The recording is silent.", "録音は無音です。"],
  "why.too-short": [
    "The recording is too short: half a second of speech is needed.",
    "録音が短すぎます。少なくとも0.5秒の話し声が必要です。"],
  "support.none": ["No support either way.", "どちらの裏付けにもなりません。"],
  "support.none.line": [
    "What was heard is about as likely in a synthetic as in a genuine voice (ratio {times}).",
    "この音の特徴は、合成音声でも本物の声でも同じくらい現れます（尤度比 {times}）。"],
  "support.weak.fake": ["Weak support for fake.", "合成を弱く裏付けます。"],
  "support.moderate.fake": ["Moderate support for fake.", "合成を中程度に裏付けます。"],
  "support.moderately-strong.fake": ["Moderately strong support for fake.", "合成をやや強く裏付けます。"],
  "support.strong.fake": ["Strong support for fake.", "合成を強く裏付けます。"],
  "support.very.fake": ["Very strong support for fake.", "合成を非常に強く裏付けます。"],
  "support.weak.genuine": ["Weak support for genuine.", "本物を弱く裏付けます。"],
  "support.moderate.genuine": ["Moderate support for genuine.", "本物を中程度に裏付けます。"],
  "support.moderately-strong.genuine": ["Moderately strong support for genuine.", "本物をやや強く裏付けます。"],
  "support.strong.genuine": ["Strong support for genuine.", "本物を強く裏付けます。"],
  "support.very.genuine": ["Very strong support for genuine.", "本物を非常に強く裏付けます。"],
  "support.line.fake": [
    "What was heard is about {times} times more likely if the voice is fake than if it is genuine.",
    "この音の特徴は、本物の声の場合に比べ、合成音声の場合に約{times}倍現れやすいものです。"],
  "support.line.genuine": [
    "What was heard is about {times} times more likely if the voice is genuine than if it is fake.",
    "この音の特徴は、合成音声の場合に比べ、本物の声の場合に約{times}倍現れやすいものです。"],
  "support.scale": [
    "Words for likelihood ratios, after the scale of the European forensic institutes (ENFSI): from 2 weak, 10 moderate, 100 moderately strong, 1,000 strong, 10,000 very strong.",
    "尤度比の表現は欧州法科学研究所ネットワーク（ENFSI）の尺度によります。2以上は弱い、10以上は中程度、100以上はやや強い、1,000以上は強い、10,000以上は非常に強い、です。"],
  "scale.label": [
    "P(fake) is {p}. Up to {genuine} the verdict is genuine, from {fake} it is fake.",
    "合成の確率は{p}です。{genuine}以下で本物、{fake}以上で合成と判定します。"],
  "priors.title": ["What if fewer or more are fake?", "合成の割合が違うとどうなるか"],
  "priors.note": [
    "The same evidence weighs differently where fakes are rare. Choose the share that fits your case.",
    "同じ根拠でも、合成音声がまれな状況では重みが変わります。実情に近い割合を選んでください。"],
  "priors.prior": ["Share of fakes expected", "見込まれる合成の割合"],
  "priors.p": ["P(fake)", "合成の確率"],
  "priors.verdict": ["By it alone", "確率だけによる判定"],

  // Errors of files
  "error.unknown": ["Something unexpected happened.", "予期しない問題が起きました。"],
  "error.not-audio": [
    "This is no recording that can be read. Send the original audio or video file, not a document or an archive.",
    "音声として読み取れません。文書や圧縮ファイルではなく、元の音声または動画を送ってください。"],
  "error.no-audio-track": [
    "The video has no sound track. Send one that has.",
    "動画に音声がありません。音声を含むものを送ってください。"],
  "error.unsupported": [
    "The file has a format that is not read. Convert it to WAV, then try again.",
    "対応していない形式です。WAVに変換して、もう一度試してください。"],
  "error.damaged": [
    "The file is damaged. Get another copy of it, if you can the original.",
    "ファイルが壊れています。別のコピーを、できれば元のファイルを入手してください。"],
  "error.truncated": [
    "The file ends too early; the copy is incomplete. Get a complete one.",
    "ファイルが途中で切れています。完全なコピーを入手してください。"],
  "error.bad-samples": [
    "The sound holds values that are no sound. Export it again from its source.",
    "音声データに不正な値が含まれています。元から書き出し直してください。"],
  "error.no-samples": ["The sound track is empty.", "音声トラックが空です。"],
  "error.empty-file": ["The file is empty. Copy it again from its source.", "ファイルが空です。元からコピーし直してください。"],
  "error.too-big": ["The file is too large. Send a shorter part of it.", "ファイルが大きすぎます。短く切り出して送ってください。"],
  "error.too-long": ["The recording is too long. Send a shorter part of it.", "録音が長すぎます。短く切り出して送ってください。"],
  "error.cancelled": ["The analysis was stopped. Send the file again.", "解析が中断されました。もう一度送ってください。"],
  "error.internal": [
    "Something went wrong that nobody foresaw. Please tell whoever runs this server.",
    "想定外の問題が起きました。サーバーの管理者に知らせてください。"],
  "error.parked": [
    "This file stopped the scorer three times and was put aside. Please tell whoever runs this server; a copy converted to WAV may work.",
    "このファイルの解析が3回異常終了したため、保留にしました。サーバーの管理者に知らせてください。WAVに変換すると解析できることがあります。"],

  // Listening
  "listen.title": ["Listen", "聞いて確かめる"],
  "wave.loading": ["The waveform is on its way.", "波形を読み込んでいます。"],
  "wave.label": ["Position in {name}", "{name}の再生位置"],
  "wave.keys": [
    "On the waveform: space plays, arrow keys move by a second, with shift by ten.",
    "波形上の操作：スペースキーで再生、矢印キーで1秒、Shiftを押しながらで10秒移動。"],
  "spans.title": ["Stretches that sound fake", "合成らしく聞こえる部分"],
  "spans.none": [
    "No stretch of a second or more sounds clearly fake by itself.",
    "それだけで明らかに合成と聞こえる1秒以上の部分はありません。"],
  "spans.more": ["Show {n} more", "残り{n}件を表示"],
  "span.title": ["{n}: {start} to {end}, {p}", "{n}：{start}～{end}、{p}"],
  "spans.worst": ["Most suspicious moment: {start} to {end}, {p}", "最も疑わしい部分：{start}～{end}、{p}"],
  "timeline.title": ["P(fake) over time", "合成の確率の推移"],
  "timeline.note": [
    "The timeline shows what each moment by itself sounds like. It leads the ear; it does not decide.",
    "各時点をそれだけで聞いたときの評価です。聞きどころの手がかりで、判定を決めるものではありません。"],
  "timeline.label": [
    "P(fake) over time: highest {p} at {at}; stretches that sound fake: {n}",
    "合成の確率の推移：最高は{at}の{p}、合成らしく聞こえる部分は{n}か所"],
  "windows.title": ["Windows that were scored", "評価した区間"],
  "windows.label": ["{n} windows: highest P(fake) {p} from {at}", "{n}区間：合成の確率の最高は{at}からの{p}"],
  "windows.one": ["Scored as a whole, from {start} to {end}.", "{start}から{end}までをまとめて評価しました。"],
  "limit.fake": ["fake from {p}", "{p}以上は合成"],
  "limit.genuine": ["genuine up to {p}", "{p}以下は本物"],

  // Neighbours
  "near.title": ["Known recordings that sound alike", "よく似た既知の録音"],
  "near.empty": ["The knowledge base is empty.", "知識ベースは空です。"],
  "near.uncovered": [
    "None of the {n} known recordings is near enough to count; the detector decided alone.",
    "既知の録音{n}件の中に十分似たものはなく、検出器だけで判定しました。"],
  "near.detector": [
    "Of {n} known recordings, these are nearest. The detector alone says the same.",
    "既知の録音{n}件のうち、最も似ているものです。検出器だけの判定とも一致しています。"],
  "near.knowledge": [
    "Of {n} known recordings, these are nearest. They decided: the detector alone would say otherwise.",
    "既知の録音{n}件のうち、最も似ているものです。判定の決め手はこれらで、検出器だけなら別の結果でした。"],
  "near.unnamed": ["generator not named", "生成器の記載なし"],
  "near.similarity": ["similarity {s}", "類似度 {s}"],
  "near.where": ["there from {at}, here from {here}", "相手側 {at}～、こちら側 {here}～"],

  // Watermark
  "mark.title": ["Watermark", "電子透かし"],
  "mark.none": [
    "No watermark of {scheme} was found. That proves nothing: most recordings carry none, and marks can be removed.",
    "{scheme}の電子透かしは見つかりませんでした。多くの録音には透かしがなく、除去もできるため、何の証明にもなりません。"],
  "mark.named": ["A watermark of {scheme} names {name}.", "{scheme}の電子透かしがあり、{name}を示しています。"],
  "mark.unnamed": ["A watermark of {scheme} is there; it names nobody.", "{scheme}の電子透かしがありますが、誰のものかは示されていません。"],
  "mark.unreadable": [
    "A watermark of {scheme} is there, but cannot be read reliably.",
    "{scheme}の電子透かしがありますが、確実には読み取れません。"],
  "mark.scheme": ["Scheme", "方式"],
  "mark.chance": ["Chance of this without a mark", "透かしなしで偶然こうなる確率"],
  "mark.confidence": ["Confidence in the name", "名前の確信度"],
  "mark.spans": ["Marked stretches", "透かしのある部分"],
  "mark.note": [
    "It says who marked the recording, not whether it is fake, and does not move the verdict.",
    "透かしは誰が印を付けたかを示すもので、合成かどうかは示しません。判定には影響しません。"],

  // Attribution
  "who.title": ["Who made it, if it is fake", "合成だとすれば、生成元は"],
  "who.label": ["It sounds most like {name}.", "{name}に最も似ています。"],
  "who.none": ["It sounds like none of the generators that the tracer knows.", "知っている生成器のどれにも似ていません。"],
  "who.unknown": ["No generator is named.", "生成器は特定されませんでした。"],
  "who.conflict": ["Watermark and sound name two different sources, so nobody is named.", "透かしと音の特徴が別々の生成元を示すため、特定しません。"],
  "who.not-fake": [
    "The verdict is not “fake”. Genuine speech, too, is nearest to something: no name stands without the verdict.",
    "判定は「合成」ではありません。本物の声もいずれかの生成器に最も近くなるため、名前だけを取り上げないでください。"],
  "who.confidence": ["Confidence", "確信度"],
  "who.nearest": ["Nearest, if one had to be named", "あえて挙げるなら"],
  "who.known": ["Known recordings at least as strange", "同程度以上に異質な既知の録音"],
  "who.basis": ["Rests on", "根拠"],
  "basis.acoustic": ["how it sounds", "音の特徴"],
  "basis.watermark": ["the watermark", "電子透かし"],
  "basis.conflict": ["a conflict of both", "両者の食い違い"],
  "basis.unknown": ["nothing", "なし"],
  "who.near": ["Labelled recordings like it", "似ているラベル付き録音"],
  "who.caveat": [
    "Take a name for a hint to follow up, and no evidence by itself: on recordings from unfamiliar surroundings it is wrong more often than right.",
    "名前は調べる手がかりにすぎず、それだけでは証拠になりません。馴染みのない環境の録音では、当たるより外れるほうが多くなります。"],

  // Warnings, quality, file
  "warnings.title": ["What weakens this verdict", "判定の確かさを下げる要因"],
  "warnings.lead": ["Weigh the verdict less where one of these holds:", "次の点を踏まえ、判定を割り引いて見てください。"],
  "warning.short": ["Only {n} s of speech: a short look.", "話し声が{n}秒しかなく、材料が少ない。"],
  "warning.clipped": ["Clipped: {n} % of the samples are at the limit.", "音割れがある（サンプルの{n}%が上限）。"],
  "warning.narrow": ["Narrow band: nothing above {n} Hz, as from a telephone.", "電話のように帯域が狭い（{n} Hzより上がない）。"],
  "warning.quiet": ["Very quiet: speech at {n} dBFS.", "音量が非常に小さい（話し声 {n} dBFS）。"],
  "warning.damaged": ["Damaged: {n} packets cannot be decoded.", "破損がある（復号できないパケット：{n}）。"],
  "warning.missing": ["{n} s are missing inside, by its time stamps.", "時刻情報によると途中の{n}秒が欠けている。"],
  "quality.title": ["The sound", "音の状態"],
  "quality.duration": ["Length", "長さ"],
  "quality.speech": ["Speech", "話し声"],
  "quality.level": ["Level of the speech", "話し声の音量"],
  "quality.peak": ["Peak", "最大音量"],
  "quality.clipped": ["Clipped samples", "音割れの割合"],
  "quality.silence": ["Digital silence", "完全な無音の割合"],
  "quality.bandwidth": ["Sound up to", "周波数の上限"],
  "file.title": ["The file", "ファイル"],
  "file.name": ["Name", "名前"],
  "file.size": ["Size", "サイズ"],
  "file.sound": ["Sound track", "音声トラック"],
  "file.sound.value": ["{codec}, {rate} Hz, channels: {channels}", "{codec}、{rate} Hz、チャンネル数 {channels}"],
  "file.created": ["Received", "受信日時"],
  "file.model": ["Model", "モデル"],
  "file.prior": ["Prior", "事前確率"],
  "file.rule": ["Rule that decided", "判定の規則"],
  "file.id": ["Analysis", "判定ID"],

  // Reports, labels, deletion
  "report.title": ["Take it with you", "報告書の保存"],
  "report.note": [
    "The report names file, verdict, its strength and its limits, and carries a digest by which changes show.",
    "報告書にはファイル、判定、その強さと限界が記され、改変を確かめられるダイジェストが付きます。"],
  "report.making": ["The report is being made.", "報告書を作成しています。"],
  "report.saved": ["Saved as {name}", "{name}として保存しました"],
  "report.pdf": ["Report, PDF", "報告書（PDF）"],
  "report.html": ["Report, HTML", "報告書（HTML）"],
  "report.json": ["Record, JSON", "記録（JSON）"],
  "report.rttm": ["Stretches, RTTM", "区間（RTTM）"],
  "label.title": ["What it really is", "実際はどちらか"],
  "label.genuine": ["genuine", "本物"],
  "label.fake": ["fake", "合成"],
  "label.none": ["Nobody has said yet.", "まだ誰もラベルを付けていません。"],
  "label.hint": [
    "Label it only if you know from elsewhere, not because the verdict says so.",
    "判定の結果からではなく、別の情報源で確かなときだけラベルを付けてください。"],
  "label.say.genuine": ["It is genuine", "本物である"],
  "label.say.fake": ["It is fake", "合成である"],
  "label.ask.genuine": ["Label it genuine?", "「本物」のラベルを付けますか"],
  "label.ask.fake": ["Label it fake?", "「合成」のラベルを付けますか"],
  "label.consequence": [
    "It goes into the knowledge base: recordings that sound like it will be judged in its light.",
    "知識ベースに追加され、よく似た録音の判定に使われるようになります。"],
  "label.generator": ["Generator", "生成器"],
  "label.generator.hint": ["Who or what made it, if you know.", "分かれば、何で作られたかを記入してください。"],
  "label.note": ["Note: how do you know?", "メモ（なぜ分かるか）"],
  "label.by": ["by {by}", "{by}による"],
  "label.added": [
    "Label kept. The recording is in the knowledge base now: what sounds like it will be recognised.",
    "ラベルを保存しました。この録音は知識ベースに入り、似た録音の判定に使われます。"],
  "label.not-added": ["Label kept, but not added to the knowledge base. {why}", "ラベルを保存しましたが、知識ベースには追加されませんでした。{why}"],
  "delete.heading": ["Delete it", "この判定の削除"],
  "delete.title": ["Delete this analysis?", "この判定を削除しますか"],
  "delete.consequence": [
    "The recording, if it is still here, and the verdict are gone for good.",
    "サーバーに残っている録音と判定結果が完全に削除されます。元に戻せません。"],
  "delete.done": ["Deleted", "削除しました"],

  // History
  "history.title": ["History", "履歴"],
  "history.search": ["Search in names, ids, SHA-256", "名前・ID・SHA-256で検索"],
  "history.verdict": ["Verdict", "判定"],
  "history.label": ["Label", "ラベル"],
  "history.any": ["any", "すべて"],
  "history.count": ["{n} shown", "{n}件を表示"],
  "history.empty": ["Nothing has been judged yet.", "まだ判定はありません。"],
  "history.no-match": ["Nothing matches.", "該当するものはありません。"],
  "history.pages": ["Pages of the history", "履歴のページ"],
  "history.newer": ["Newer", "新しいもの"],
  "history.older": ["Older", "古いもの"],
  "history.labelled": ["labelled {label}", "ラベル：{label}"],

  // Compare
  "compare.title": ["Two recordings compared", "2件の比較"],
  "compare.choose": ["Tick two to compare them.", "比較したい2件にチェックを入れてください。"],
  "compare.chosen": ["{n} of 2: {names}", "2件中{n}件：{names}"],
  "compare.go": ["Compare", "比較する"],
  "compare.clear": ["Clear choice", "選択を解除"],
  "compare.pick": ["Compare {name}", "{name}を比較に選ぶ"],
  "compare.two": ["A comparison needs two analyses. Choose them in the history.", "比較には2件の判定が必要です。履歴から選んでください。"],
  "compare.priors": [
    "They were judged at different priors: compare the likelihood ratios, not P(fake).",
    "事前確率が異なります。合成の確率ではなく尤度比を比べてください。"],
  "compare.models": ["They were judged by different models.", "別々のモデルで判定されています。"],
  "compare.same-file": ["They are the same file.", "同一のファイルです。"],
  "compare.wave": ["Waveform, {d}", "波形、{d}"],
  "compare.figures": ["Figures", "数値"],
  "compare.differs": ["Rows that differ are marked at their beginning.", "異なる行には先頭に印が付いています。"],
  "compare.ratio": ["Likelihood ratio", "尤度比"],
  "compare.ratio.fake": ["{times} for fake", "合成側に{times}"],
  "compare.ratio.genuine": ["{times} for genuine", "本物側に{times}"],
  "compare.spans": ["Stretches that sound fake", "合成らしい部分"],
  "compare.windows": ["Windows", "区間数"],

  // Knowledge
  "knowledge.title": ["Knowledge base", "知識ベース"],
  "knowledge.lead": [
    "Labelled recordings. What sounds like one of them is judged in its light, without training.",
    "ラベル付きの録音です。似た録音は、学習し直すことなくこれらを踏まえて判定されます。"],
  "knowledge.off": ["This server has none.", "このサーバーに知識ベースはありません。"],
  "knowledge.counts": ["How many", "件数"],
  "knowledge.entries": ["Recordings", "録音"],
  "knowledge.generators": ["Generators", "生成器"],
  "knowledge.no-generators": ["No generator is named yet.", "生成器の記載はまだありません。"],
  "knowledge.more-generators": ["Show {n} more", "残り{n}件を表示"],
  "knowledge.newest": ["Newest entries", "最近の追加"],
  "knowledge.search": ["Search", "検索"],
  "knowledge.more": ["Show older ones", "さらに古いものを表示"],
  "knowledge.silent": ["audio not kept", "音声なし"],

  // Drift
  "drift.title": ["Has what comes in changed?", "届く録音の傾向は変わったか"],
  "drift.lead": [
    "Recent recordings are compared with a reference. Where they differ, the verdicts may be less right than the figures of the model say.",
    "最近の録音を基準と比べます。違いが大きいと、判定の正しさがモデルの公表値を下回ることがあります。"],
  "drift.none": [
    "This server has no reference to compare with. Whoever runs it can make one with earwitness drift reference.",
    "比較の基準がありません。管理者は earwitness drift reference で基準を作成できます。"],
  "drift.quiet": ["Quiet", "変化なし"],
  "drift.quiet.line": ["The last {n} recordings look like the reference.", "直近{n}件の録音は基準と同様です。"],
  "drift.watch": ["Keep watch", "要観察"],
  "drift.watch.line": [
    "Among the last {n} recordings there are signs of change, not yet enough for an alarm.",
    "直近{n}件の録音に変化の兆しがありますが、警報にはまだ達していません。"],
  "drift.alarm": ["Alarm", "警報"],
  "drift.alarm.line": [
    "The last {n} recordings differ from the reference. Listen to some of them, label those you are sure of, and do not lean on the model's figures until then.",
    "直近{n}件の録音は基準と異なります。いくつか聞いて、確かなものにラベルを付けてください。それまではモデルの公表値を当てにしないでください。"],
  "drift.too-few": ["Too few to say", "件数が不足"],
  "drift.too-few.line": ["Only {n} recordings so far.", "録音はまだ{n}件です。"],
  "drift.tests": ["Tests", "検定"],
  "drift.tests.note": ["A small p-value means: so large a difference would be rare without any change.", "p値が小さいほど、変化がないのにこれほどの差が出るのはまれだという意味です。"],
  "drift.test": ["Test", "検定"],
  "drift.p": ["p-value", "p値"],
  "drift.result": ["Result", "結果"],
  "drift.changed": ["changed", "変化あり"],
  "drift.same": ["no change seen", "変化は見られない"],
  "drift.days": ["Recordings a day", "1日あたりの録音数"],
  "drift.days.label": ["Recordings a day by verdict, {n} days, at most {most} a day; figures in the table below", "判定別の1日あたりの録音数、{n}日分、最多{most}件。数値は下の表にあります"],
  "drift.kind.fake": ["fake", "合成"],
  "drift.kind.genuine": ["genuine", "本物"],
  "drift.kind.uncertain": ["uncertain", "判定不能"],
  "drift.kind.other": ["no speech or error", "発話なし・エラー"],
  "drift.mean": ["Mean P(fake) a day", "合成の確率の1日平均"],
  "drift.mean.label": ["Mean P(fake) a day; figures in the table below", "合成の確率の1日平均。数値は下の表にあります"],
  "drift.mean.short": ["Mean P(fake)", "確率の平均"],
  "drift.day": ["Day", "日"],
  "drift.recordings": ["Recordings", "録音数"],
  "drift.table": ["The days as a table", "日別の表"],
};
