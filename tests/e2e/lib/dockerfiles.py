# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles of every kind, for builders to build alike: {name: text}; BASE is a busybox image. FILES is their context."""

FILES = {
    "a.txt": "A", "b.txt": "B", "c.md": "C", "empty": "", "with space": "S", "x[1]": "bracket", "star.d/one": "1",
    "star.d/two": "2", "dir/inner/deep": "deep", "dir/top": "top", "other/top": "other", "script.sh": "#!/bin/sh\necho hi\n",
    ".hidden": "h", "dir/.dot": "d", "tree/1/2/3/leaf": "leaf", "skip/this.log": "log", "skip/keep.log": "keep",
    "conf/app.conf": "key=value\n",
}  # fmt: skip

LINKS = {"link": "a.txt", "dirlink": "dir", "dir/uplink": "../a.txt", "broken": "nowhere", "tree/self": "."}

IGNORE = "# what stays out\nskip\n!skip/keep.log\n**/*.md\n"

DOCKERFILES = {
    "config": """ARG UNUSED=1
FROM BASE
ENV A=1 B="two words" C=${A:-x}${NOPE:-fallback}
ENV D=$B/$C
LABEL one=1 "quoted key"="v $A"
EXPOSE 80 53/udp
VOLUME /data /more
USER user
WORKDIR /w
WORKDIR sub/$A
STOPSIGNAL SIGQUIT
ENTRYPOINT ["sh", "-c"]
CMD ["echo hi"]
""",
    "shell forms": "FROM BASE\nCMD echo $PATH\nENTRYPOINT exec top\n",
    "entrypoint drops an inherited cmd": "FROM BASE\nENTRYPOINT [\"/bin/true\"]\n",
    "run": """FROM BASE
ARG V=default
RUN echo $V > /v && mkdir -p /x/y && chmod 2750 /x && chown 1000:50 /x/y
RUN ["/bin/sh", "-c", "ln -s ../v /x/link; ln /v /x/hard"]
USER user
RUN id -u > /tmp/whoami
WORKDIR /home/user
RUN pwd > here
""",
    "removals": """FROM BASE
RUN rm /bin/wget && rm -r /home/user && mkdir /home/user && touch /home/user/new
RUN mv /etc/group /etc/group.moved && mkdir /bin/wget && touch /bin/wget/file
""",
    "copy": """FROM BASE
WORKDIR /work
COPY *.txt texts/
COPY dir .
COPY a.txt renamed
COPY dir/inner dir/top /into/
COPY --chown=1000:50 dir /owned
COPY ["a.txt", "/json form/"]
COPY script.sh /bin/
""",
    "copy over what is there": """FROM BASE
RUN mkdir -p /t/inner && echo old > /t/top && echo kept > /t/kept && ln -s /t /l
COPY dir /t
COPY a.txt /t/top
""",
    "stages": """ARG FROM_ARG=BASE
FROM $FROM_ARG AS one
RUN mkdir /out && echo 1 > /out/one && chown 5:6 /out/one
FROM one AS two
RUN echo 2 > /out/two
FROM BASE
COPY --from=two /out /out
COPY --from=0 /out/one /single
COPY --from=one --chown=7:8 /out/ /owned/
""",
    "scratch": "FROM scratch\nCOPY dir /\nCOPY a.txt /etc/deep/a\nCMD [\"/x\"]\n",
    "arg and env": """FROM BASE
ARG ONE=1
ARG TWO=${ONE}2
ENV ONE=env
ARG ONE=arg
RUN echo "$ONE $TWO ${ONE:+set} ${NONE:-unset}" > /out
LABEL two=$TWO
""",
    "add": "FROM BASE\nADD pack.tar.gz a.txt /into/\nADD pack.tar.gz /\n",
    # ---- lines ----
    "comments and continuations": "FROM BASE\n# a comment\nENV A=1 \\\n# inside\n    B=2 \\\n    C=3\nLABEL x=\"a \\\n b\"\n",
    "escape directive": "# escape=`\nFROM BASE\nENV A=1 `\n    B=2\nCOPY a.txt `\n     /x\n",
    "lower case": "from BASE\nenv a=1\ncopy a.txt /\ncmd [\"x\"]\n",
    "blanks and tabs": "FROM BASE\n\tENV\tA=1\n  COPY   a.txt\t /x/  \n",
    "end without newline": "FROM BASE\nENV A=1\nCMD [\"a\"]",
    "crlf": "FROM BASE\r\nENV A=1\r\nCOPY a.txt /x\r\nCMD [\"a\"]\r\n",
    "byte order mark": "\ufeffFROM BASE\nENV A=1\n",
    "syntax directive": "# syntax=docker/dockerfile:1\nFROM BASE\nENV A=1\n",
    # ---- variables ----
    "quotes": "FROM BASE\nENV A='single $HOME' B=\"double $PATH\" C=un\\ quoted D=a\\$b E=\"x\\\"y\"\nLABEL a='b c' d=\"e'f\"\n",
    "old env": "FROM BASE\nENV A some words  here\nENV B $A tail\nLABEL l some value\n",
    "braces": "FROM BASE\nENV A=abc\nENV B=${A}d C=${A:-z} D=${U:-z} E=${A:+y} F=${U:+y} G=x${U}x\n",
    "one instruction sees what was before it": "FROM BASE\nENV A=1\nENV A=2 B=$A\nENV C=$A\n",
    "expansion in every place": """FROM BASE
ENV D=/place U=1000 P=81 S=SIGINT F=a.txt
WORKDIR $D/w
COPY $F ${D}/copied
ADD $F $D/added
EXPOSE $P ${P}0/udp
USER $U
STOPSIGNAL $S
VOLUME $D/v
LABEL where=$D
""",
    "cmd is not expanded": "FROM BASE\nENV A=1\nCMD [\"$A\", \"${A}\"]\nENTRYPOINT [\"sh\", \"-c\", \"echo $A\"]\n",
    "path": "FROM BASE\nENV PATH=/opt/bin:$PATH\nRUN echo $PATH > /p\n",
    "env with an equals sign": "FROM BASE\nENV A=b=c D==x E=\nRUN env | grep -E '^(A|D|E)=' | sort > /e\n",
    "arg before from": "ARG TAG=latest\nARG IMAGE=BASE\nFROM ${IMAGE}\nARG TAG\nRUN echo \"tag=$TAG image=$IMAGE\" > /t\n",
    "arg of a stage ends with it": "FROM BASE AS one\nARG X=1\nRUN echo $X > /x\nFROM BASE\nRUN echo \"${X:-none}\" > /y\n",
    "arg again": "FROM BASE\nARG A=1\nRUN echo $A > /1\nARG A=2\nRUN echo $A > /2\n",
    "arg never wins over env": "FROM BASE\nENV A=env\nARG A=arg\nRUN echo $A > /a\n",
    "arg of arg": "FROM BASE\nARG A=a\nARG B=${A}b\nARG C=${B}c D=$B\nLABEL c=$C d=$D\n",
    # ---- config ----
    "expose many": "FROM BASE\nEXPOSE 80/tcp 80/udp 443 53/udp\nEXPOSE 80\n",
    "volume forms": "FROM BASE\nVOLUME /a\nVOLUME [\"/b\", \"/c d\"]\nVOLUME /a\n",
    "label forms": "FROM BASE\nLABEL a=1\nLABEL a=2 b.c.d=\"x y\" e=\nLABEL \"q k\"=v multi=\"one \\\ntwo\"\n",
    "user forms": "FROM BASE\nUSER 1000\nUSER 1000:50\nUSER user:staff\n",
    "workdir forms": "FROM BASE\nWORKDIR a\nWORKDIR /b\nWORKDIR c/../d\nWORKDIR ./e//f/\nRUN pwd > /where\n",
    "workdir makes folders": "FROM BASE\nUSER user\nWORKDIR /new/deep/folder\nRUN stat -c '%u %a' . .. > /tmp/s\n",
    "stopsignal": "FROM BASE\nSTOPSIGNAL 9\n",
    "shell": "FROM BASE\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN echo $- > /flags\n",
    "healthcheck": "FROM BASE\nHEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD echo ok\n",
    "healthcheck none": "FROM BASE\nHEALTHCHECK CMD [\"true\"]\nHEALTHCHECK NONE\n",
    "cmd and entrypoint, twice": "FROM BASE\nCMD [\"1\"]\nENTRYPOINT [\"a\"]\nCMD [\"2\"]\nENTRYPOINT [\"b\"]\n",
    "entrypoint in a child": "FROM BASE AS p\nENTRYPOINT [\"a\"]\nCMD [\"1\"]\nFROM p\nENTRYPOINT [\"b\"]\n",
    "cmd in a child": "FROM BASE AS p\nENTRYPOINT [\"a\"]\nCMD [\"1\"]\nFROM p\nCMD [\"2\"]\n",
    "empty json": "FROM BASE\nENTRYPOINT []\nCMD []\n",
    "broken json is a shell form": "FROM BASE\nCMD ['a', 'b']\nENTRYPOINT [\"a\" \"b\"]\n",
    # ---- COPY ----
    "copy the context": "FROM scratch\nCOPY . /all/\n",
    "copy folders' contents": "FROM scratch\nCOPY dir /d\nCOPY dir/ /e/\nCOPY dir /f/\n",
    "copy to the root": "FROM scratch\nCOPY a.txt /\nCOPY b.txt .\nCOPY dir /\n",
    "copy several": "FROM scratch\nCOPY a.txt b.txt dir /many/\n",
    "copy wildcards": "FROM scratch\nCOPY *.txt /t/\nCOPY ?.txt /q/\nCOPY [ab].txt /s/\nCOPY star.d/* /d/\nCOPY s* /e/\n",
    "copy of a wildcard's folders": "FROM scratch\nCOPY di* /d/\nCOPY */top /tops/\n",
    "copy names with blanks": "FROM scratch\nCOPY [\"with space\", \"/with space\"]\nCOPY [\"a.txt\", \"with space\", \"/d d/\"]\n",
    "copy of links": "FROM scratch\nCOPY link /followed\nCOPY dir /kept\nCOPY dirlink /fromlink/\n",
    "copy of a tree with links": "FROM scratch\nCOPY tree /tree/\nCOPY dir/uplink* /b/\n",
    "copy from the context's root": "FROM scratch\nCOPY /b.txt /b\nCOPY ./dir/../a.txt /x/\n",
    "copy hidden": "FROM scratch\nCOPY .hidden dir/.dot /h/\n",
    "copy empty": "FROM scratch\nCOPY empty /e\nCOPY empty /d/\n",
    "copy deep": "FROM scratch\nCOPY a.txt /1/2/3/4\nCOPY tree/1 /5/6/\n",
    "copy onto a file": "FROM BASE\nCOPY a.txt /etc/passwd\nCOPY b.txt /etc/passwd\n",
    "copy into a folder that is there": "FROM BASE\nCOPY a.txt /etc\nCOPY dir /home\n",
    "copy through a link in the image": "FROM BASE\nRUN mkdir /real && ln -s real /l\nCOPY a.txt /l/\nCOPY b.txt /l/c\n",
    "chown by number": "FROM BASE\nCOPY --chown=7 a.txt /a\nCOPY --chown=7:8 dir /d\n",
    "chown by name": "FROM BASE\nCOPY --chown=user a.txt /a\nCOPY --chown=user:staff b.txt /b\n",
    "chown makes owned parents": "FROM BASE\nCOPY --chown=7:8 a.txt /new/deep/a\n",
    "modes are kept": "FROM scratch\nCOPY script.sh /s\nCOPY --chown=1:1 script.sh /t\n",
    "copy as a user": "FROM BASE\nUSER user\nCOPY a.txt /home/user/\nRUN stat -c %u /home/user/a.txt > /tmp/o\n",
    "workdir of copy": "FROM BASE\nWORKDIR /w\nCOPY a.txt b\nCOPY b.txt c/\nWORKDIR d\nCOPY dir .\n",
    # ---- ADD ----
    "add like copy": "FROM scratch\nADD a.txt /a\nADD dir /d/\nADD *.txt /t/\n",
    "add unpacks": "FROM scratch\nADD pack.tar.gz /p\nADD pack.tar /q/\nADD pack.tar.bz2 pack.tar.xz /r/\n",
    "copy does not unpack": "FROM scratch\nCOPY pack.tar.gz /p\n",
    "add chown": "FROM BASE\nADD --chown=user:staff a.txt /a\n",
    # ---- stages ----
    "copy from a later number": "FROM scratch AS a\nCOPY a.txt /a\nFROM scratch\nCOPY b.txt /b\nFROM scratch\nCOPY --from=0 /a /\nCOPY --from=1 /b /\n",
    "a stage by its name": "FROM scratch AS build-1.x\nCOPY a.txt /a\nFROM scratch\nCOPY --from=build-1.x /a /x\n",
    "unused stages": "FROM BASE AS never\nRUN exit 3\nFROM scratch\nCOPY a.txt /\n",
    "copy from an image": "FROM scratch\nCOPY --from=BASE /etc/passwd /p\nCOPY --from=BASE /home /h\n",
    "copy a wildcard from a stage": "FROM BASE AS s\nRUN mkdir /o && touch /o/1 /o/2 /o/x\nFROM scratch\nCOPY --from=s /o/[12] /n/\n",
    "copy a link from a stage": "FROM BASE AS s\nRUN mkdir /o && echo f > /o/f && ln -s f /o/l && ln /o/f /o/h\nFROM scratch\nCOPY --from=s /o /n/\nCOPY --from=s /o/l /one\n",
    "config of the base stage": "FROM BASE AS s\nENV A=1\nWORKDIR /w\nUSER user\nLABEL l=1\nEXPOSE 1\nFROM s\nRUN pwd > /tmp/p; id -u >> /tmp/p\n",
    "chain of stages": "FROM BASE AS a\nRUN echo a > /f\nFROM a AS b\nRUN echo b >> /f\nFROM b AS c\nRUN echo c >> /f\nFROM c\nRUN echo d >> /f\n",
    # ---- RUN ----
    "run leaves modes and owners": "FROM BASE\nRUN touch /f && chmod 4755 /f && mkdir /d && chmod 1777 /d && chown 12:34 /f /d && mkfifo /p\n",
    "run with links": "FROM BASE\nRUN ln -s /etc/passwd /abs; ln -s etc/group /rel; echo 1 > /h1; ln /h1 /h2; ln -s /none /dead\n",
    "run removes a folder of the base": "FROM BASE\nRUN rm -r /home\n",
    "run puts a file where a folder was": "FROM BASE\nRUN rm -r /home && echo file > /home\n",
    "run puts a folder where a file was": "FROM BASE\nRUN rm /etc/passwd && mkdir -p /etc/passwd/x\n",
    "run renames a folder": "FROM BASE\nRUN mkdir -p /one/two && touch /one/two/f\nRUN mv /one /three\n",
    "run makes and removes": "FROM BASE\nRUN mkdir /t && touch /t/a /t/b\nRUN rm /t/a && touch /t/c\nRUN rm -r /t && mkdir /t && touch /t/d\n",
    "run changes only a mode": "FROM BASE\nRUN touch /f\nRUN chmod 600 /f\nRUN chown 9:9 /etc/passwd\n",
    "run in json form": "FROM BASE\nRUN [\"touch\", \"/a b\", \"$HOME\"]\n",
    "run of several lines": "FROM BASE\nRUN set -e; \\\n    echo one > /o; \\\n    # said\n    echo two >> /o\n",
    "umask and home": "FROM BASE\nRUN umask > /u; echo $HOME > /h\nUSER user\nRUN echo $HOME > /tmp/h\n",
    # ---- ONBUILD and the rest ----
    "maintainer": "FROM BASE\nMAINTAINER Somebody <s@example.org>\n",
    "onbuild is kept": "FROM BASE\nONBUILD RUN echo x\nONBUILD COPY . /app\n",
    "nothing but a base": "FROM BASE\n",
    "empty scratch with config": "FROM scratch\nENV A=1\nLABEL b=2\nCMD [\"/x\"]\n",
}  # fmt: skip
